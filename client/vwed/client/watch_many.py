from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import aclosing

import grpc
from google.protobuf.duration_pb2 import Duration
from vwed.v1.common_pb2 import View
from vwed.v1.record_service_pb2 import WatchTaskRecordsRequest, WatchTaskRecordsResponse
from vwed.v1.task_record_event_pb2 import TaskRecordEvent
from vwed.v1.task_record_pb2 import TaskRecordFilter

from vwed.client.connection import Client
from vwed.client.resuming import BOOKMARK_SECONDS, OnOutage, resuming

REMEMBERED_RUNS = 10_000
"""Of so many runs, the last that had events, no event comes twice."""


async def watch_runs(
    client: Client,
    filter: TaskRecordFilter | None = None,  # noqa: A002 - the request's own name for it
    *,
    include_blocks: bool = False,
    resume_token: str = "",
    view: View.ValueType = View.VIEW_BASIC,
    patience: float = 300.0,
    on_outage: OnOutage | None = None,
) -> AsyncGenerator[WatchTaskRecordsResponse]:
    """What happens in many runs: the matching open ones, then every change, without end.

    Each message has a `resume_token`, with which another watch, on any replica, begins after it
    (it may be told the last events before once more); one without events is a bookmark, which takes
    the token along while nothing happens.
    Lost connections are taken up again where they broke, for `patience` seconds without an answer;
    what the service repeats then is left out, unless more than 10,000 runs had events meanwhile.
    `on_outage` is called with the error when the server is lost, and with None when it is back.
    Raises CallError: OutOfRange for a token that is too old, whatever else the service says, and
    the last transport error when patience ends (TimeoutError if the server was silent).
    """
    token = resume_token
    told = _Told()

    def watch() -> grpc.aio.UnaryStreamCall[WatchTaskRecordsRequest, WatchTaskRecordsResponse]:
        return client.records.WatchTaskRecords(
            WatchTaskRecordsRequest(
                filter=filter,
                include_blocks=include_blocks,
                resume_token=token,
                view=view,
                bookmark_interval=Duration(seconds=BOOKMARK_SECONDS),
            )
        )

    async with aclosing(
        resuming(client, watch, patience=patience, on_outage=on_outage)
    ) as messages:
        async for message in messages:
            token = message.resume_token
            news = [event for event in message.events if told.is_news(event)]
            if len(news) < len(message.events):
                del message.events[:]
                message.events.extend(news)
            yield message


class _Told:
    """How far each run was told. Its events come by seq, so what is not beyond that is a repeat."""

    def __init__(self) -> None:
        self._last: OrderedDict[str, int] = OrderedDict()

    def is_news(self, event: TaskRecordEvent) -> bool:
        run = event.task_record_id
        if event.seq <= self._last.get(run, 0):
            return False
        if event.HasField("deleted"):
            self._last.pop(run, None)  # another one may have its id one day
            return True
        self._last[run] = event.seq
        self._last.move_to_end(run)
        if len(self._last) > REMEMBERED_RUNS:
            self._last.popitem(last=False)
        return True
