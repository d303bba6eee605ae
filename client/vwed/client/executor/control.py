"""What others do to the runs of this process, as it happens: one stream for all of them."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from math import inf
from typing import NoReturn

from vwed.v1.task_record_event_pb2 import TaskRecordEvent
from vwed.v1.task_record_pb2 import TaskRecordFilter

from vwed.client.connection import Client
from vwed.client.errors import CallError
from vwed.client.executor.clock import now
from vwed.client.executor.persistent_calls import PersistentCalls
from vwed.client.watch_many import watch_runs

_PAUSE = 1.0


async def follow(
    client: Client,
    calls: PersistentCalls,
    executor_id: str,
    *,
    see: Callable[[TaskRecordEvent], None],
    begun: Callable[[], None],
) -> NoReturn:
    """Tells every change of a run that the executor has, from when it has `begun`.

    What became of runs before that is not told: open ones come as they are, others not at all. It
    begins anew when the service was away for longer than it keeps what happened.
    """
    mine = TaskRecordFilter(executor_ids=[executor_id])
    while True:
        since = now()
        has_begun = False
        try:
            async with aclosing(
                watch_runs(client, mine, patience=inf, on_outage=calls.lost)
            ) as messages:
                async for message in messages:
                    if not has_begun:
                        has_begun = True
                        begun()
                    for event in message.events:
                        see(event)
        except CallError as exc:  # a token of the stream that is too old, or a limit
            calls.failed(exc, since=since)
        await asyncio.sleep(_PAUSE)
