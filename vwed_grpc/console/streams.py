"""What happens, as server-sent events: of one run, and of all.

A browser that lost its stream says the id of the last event that it got, and goes on behind it. A
stream that loses the service ends soon: then the page says so, while its browser asks again.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from time import monotonic
from typing import Any, TypeVar

from anyio import CancelScope
from sse_starlette import ServerSentEvent
from vwed.v1.record_service_pb2 import ListTaskRecordsRequest, WatchTaskRecordsResponse
from vwed.v1.task_record_pb2 import TaskRecordFilter

from vwed.client import CallError, Client, InvalidArgument, OutOfRange, watch_messages, watch_runs
from vwed_grpc.console.errors import oldest_kept, told
from vwed_grpc.console.events import event_json
from vwed_grpc.console.identity import Caller, Connect
from vwed_grpc.console.messages import plain
from vwed_grpc.console.table import table
from vwed_grpc.domain.lifecycle import FINAL
from vwed_grpc.views.reading import read_view

Item = TypeVar("Item")

FIRST_EVENTS = 200
"""Of a run's history a page begins with so many of the last events."""
_PATIENCE = 3.0
"""Seconds that a stream outlives the service."""
_PAUSE = 0.5
"""Seconds between two tables of a run."""
_SHARE = 10
"""Of the time at most 1 / so much goes into drawing up tables, however large the run."""


async def run_stream(
    connect: Connect, caller: Caller, run_id: str, after_seq: int | None
) -> AsyncIterator[ServerSentEvent]:
    """`change`: an event, whose id is its seq; `table`: the run and its rows; `end`: it is final.

    `restart`: what comes is no continuation, for what is between was not kept. `failed`: why the
    service says no.
    """
    try:
        async with connect(caller) as client:
            try:
                async for event in _run_events(client, run_id, after_seq):
                    yield event
            except OutOfRange as exc:  # it was not kept
                yield _sse("restart", {})
                async for event in _run_events(client, run_id, None, oldest=oldest_kept(exc)):
                    yield event
    except CallError as exc:
        yield _sse("failed", told(exc))
    except TimeoutError:
        return  # the service fell silent


async def runs_stream(
    connect: Connect, caller: Caller, wanted: TaskRecordFilter, resume_token: str
) -> AsyncIterator[ServerSentEvent]:
    """`ready`: the list is to be read now, for all after it is told; `run`: a change; `mark`.

    The ids of `ready` and `mark` are resume tokens.
    """
    try:
        async with connect(caller) as client:
            try:
                async for event in _runs_events(client, wanted, resume_token):
                    yield event
            except (InvalidArgument, OutOfRange):  # the token leads nowhere any more
                if not resume_token:
                    raise
                async for event in _runs_events(client, wanted, ""):
                    yield event
    except CallError as exc:
        yield _sse("failed", told(exc))
    except TimeoutError:
        return


async def _run_events(
    client: Client, run_id: str, after_seq: int | None, *, oldest: int = 1
) -> AsyncGenerator[ServerSentEvent]:
    view = await read_view(client, run_id)
    drawn = await asyncio.to_thread(table, view)
    yield _sse("table", drawn)
    if after_seq is None:
        after_seq = max(view.run.seq - FIRST_EVENTS, oldest - 1)
    next_table, is_drawn = monotonic() + _PAUSE, True
    messages = watch_messages(client, run_id, after_seq, patience=_PATIENCE)
    async for message in _with_pauses(messages, _PAUSE):
        for event in message.events if message else ():
            if event.seq > view.run.seq:  # the rest was read with the run
                view.apply(event)
                is_drawn = False
            yield _sse("change", event_json(event), id_=str(event.seq))
        if not is_drawn and monotonic() >= next_table:
            began = monotonic()
            yield _sse("table", await asyncio.to_thread(table, view))
            now = monotonic()
            next_table, is_drawn = now + max(_PAUSE, _SHARE * (now - began)), True
    if not is_drawn:
        yield _sse("table", await asyncio.to_thread(table, view))
    if view.run.status in FINAL:
        yield _sse("end", {})


async def _runs_events(
    client: Client, wanted: TaskRecordFilter, resume_token: str
) -> AsyncGenerator[ServerSentEvent]:
    # The present states are in the list that the page reads, once no more of them come.
    token_of_states = ""
    await client.records.ListTaskRecords(ListTaskRecordsRequest(filter=wanted, page_size=1))
    yield _sse("mark", {})  # so the service is there, though it may have nothing to say
    messages = watch_runs(client, wanted, resume_token=resume_token, patience=_PATIENCE)
    async for message in _with_pauses(messages, _PAUSE):
        if message and message.snapshot:
            token_of_states = message.resume_token
            continue
        if token_of_states:
            yield _sse("ready", {}, id_=token_of_states)
            token_of_states = ""
        if message:
            for event in _last_of_each(message):
                yield event


def _last_of_each(message: WatchTaskRecordsResponse) -> list[ServerSentEvent]:
    changes: dict[str, dict[str, Any]] = {}
    for event in message.events:
        if event.HasField("task_record"):
            changes[event.task_record_id] = plain(event.task_record)
        elif event.HasField("deleted"):
            changes[event.task_record_id] = {"id": event.task_record_id, "deleted": True}
    sent = [_sse("run", change) for change in changes.values()]
    # Behind all of them: a browser that has only some asks for all of them again.
    return [*sent, _sse("mark", {}, id_=message.resume_token)]


async def _with_pauses(items: AsyncGenerator[Item], seconds: float) -> AsyncGenerator[Item | None]:
    """The items, and None each time that so many seconds went by without one."""
    coming: asyncio.Task[Item] | None = None
    async with aclosing(items):
        try:
            while True:
                coming = coming or asyncio.ensure_future(anext(items))
                done, _ = await asyncio.wait({coming}, timeout=seconds)
                if not done:
                    yield None
                    continue
                try:
                    item = coming.result()
                except StopAsyncIteration:
                    return
                finally:
                    coming = None
                yield item
        finally:
            if coming is not None:
                coming.cancel()
                # Whose browser left is cancelled anew at each wait, but for one that is shielded.
                with CancelScope(shield=True):
                    await asyncio.wait({coming})


def _sse(kind: str, data: Any, id_: str | None = None) -> ServerSentEvent:
    return ServerSentEvent(json.dumps(data, ensure_ascii=False), event=kind, id=id_)
