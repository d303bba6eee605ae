import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import grpc
from google.protobuf.duration_pb2 import Duration
from vwed.v1.common_pb2 import View
from vwed.v1.record_service_pb2 import WatchTaskRecordRequest, WatchTaskRecordResponse
from vwed.v1.task_record_event_pb2 import TaskRecordEvent

from vwed.client.backoff import Backoff
from vwed.client.connection import Client
from vwed.client.errors import is_transient, token_expired

BOOKMARK_SECONDS = 10
SILENCE_SECONDS = 3 * BOOKMARK_SECONDS
"""An idle stream says a bookmark every interval; when several are missing, the peer is gone."""


async def watch_run(
    client: Client,
    run_id: str,
    after_seq: int | None = None,
    view: View.ValueType = View.VIEW_BASIC,
    *,
    patience: float = 300.0,
) -> AsyncGenerator[TaskRecordEvent]:
    """The events of one run, each once and in order, until the run is final.

    Without `after_seq` the present states come first, with it exactly the events after it.
    Lost connections are taken up again where they broke, for `patience` seconds without an answer.
    Raises `grpc.aio.AioRpcError`: NOT_FOUND, OUT_OF_RANGE, whatever else the service says, and the
    last transport error when patience ends (TimeoutError if the server was silent).
    """
    async with aclosing(
        watch_messages(client, run_id, after_seq, view, patience=patience)
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
) -> AsyncGenerator[WatchTaskRecordResponse]:
    """As `watch_run`, grouped as the service sent them; messages without events are left out.

    The events of one report or transition are one message, or several with `more` on all but the
    last. `snapshot` marks present states; what a broken snapshot still owed comes as changes.
    """
    backoff = Backoff(patience)
    last = after_seq
    while True:
        call = client.records.WatchTaskRecord(
            WatchTaskRecordRequest(
                task_record_id=run_id,
                after_seq=last,
                view=view,
                bookmark_interval=Duration(seconds=BOOKMARK_SECONDS),
            )
        )
        stream = aiter(call)
        try:
            while (message := await _next(stream)) is not None:
                backoff.reset()
                if message.events:
                    last = message.events[-1].seq
                    yield message
        except grpc.aio.AioRpcError as exc:
            if not (is_transient(exc) or (client.renews_token and token_expired(exc))):
                raise
            await backoff.pause(exc)
        except TimeoutError as exc:
            await backoff.pause(exc)
        else:
            return
        finally:
            call.cancel()


async def _next(stream: AsyncIterator[WatchTaskRecordResponse]) -> WatchTaskRecordResponse | None:
    # Around the read alone: a reader who takes its time is not a silent server.
    async with asyncio.timeout(SILENCE_SECONDS):
        return await anext(stream, None)
