from collections.abc import AsyncGenerator
from contextlib import aclosing

import grpc
from google.protobuf.duration_pb2 import Duration
from vwed.v1.common_pb2 import View
from vwed.v1.record_service_pb2 import WatchTaskRecordRequest, WatchTaskRecordResponse
from vwed.v1.task_record_event_pb2 import TaskRecordEvent

from vwed.client.connection import Client
from vwed.client.resuming import BOOKMARK_SECONDS, OnOutage, resuming


async def watch_run(
    client: Client,
    run_id: str,
    after_seq: int | None = None,
    view: View.ValueType = View.VIEW_BASIC,
    *,
    patience: float = 300.0,
    on_outage: OnOutage | None = None,
) -> AsyncGenerator[TaskRecordEvent]:
    """The events of one run, each once and in order, until the run is final.

    Without `after_seq` the present states come first, with it exactly the events after it.
    Lost connections are taken up again where they broke, for `patience` seconds without an answer;
    `on_outage` is called with the error when the server is lost, and with None when it is back.
    Raises CallError: NotFound, OutOfRange, whatever else the service says, and the last transport
    error when patience ends (TimeoutError if the server was silent).
    """
    async with aclosing(
        watch_messages(client, run_id, after_seq, view, patience=patience, on_outage=on_outage)
    ) as messages:
        async for message in messages:
            for event in message.events:
                yield event


async def watch_messages(
    client: Client,
    run_id: str,
    after_seq: int | None = None,
    view: View.ValueType = View.VIEW_BASIC,
    *,
    patience: float = 300.0,
    on_outage: OnOutage | None = None,
) -> AsyncGenerator[WatchTaskRecordResponse]:
    """As `watch_run`, grouped as the service sent them; messages without events are left out.

    The events of one report or transition are one message, or several with `more` on all but the
    last. `snapshot` marks present states; what a broken snapshot still owed comes as changes.
    """
    last = after_seq

    def watch() -> grpc.aio.UnaryStreamCall[WatchTaskRecordRequest, WatchTaskRecordResponse]:
        return client.records.WatchTaskRecord(
            WatchTaskRecordRequest(
                task_record_id=run_id,
                after_seq=last,
                view=view,
                bookmark_interval=Duration(seconds=BOOKMARK_SECONDS),
            )
        )

    async with aclosing(
        resuming(client, watch, patience=patience, on_outage=on_outage)
    ) as messages:
        async for message in messages:
            if message.events:
                last = message.events[-1].seq
                yield message
