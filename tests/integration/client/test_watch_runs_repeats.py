"""A service that repeats itself after each break, as the contract allows, and one who listens."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc import StatusCode
from vwed.v1.record_service_pb2 import WatchTaskRecordsRequest, WatchTaskRecordsResponse
from vwed.v1.task_record_event_pb2 import TaskRecordEvent

from vwed.client import connect, watch_many, watch_runs

Told = tuple[str, int]
"""Run and seq."""


def message(token: str, *told: Told, snapshot: bool = False) -> WatchTaskRecordsResponse:
    events = [TaskRecordEvent(task_record_id=run, seq=seq) for run, seq in told]
    return WatchTaskRecordsResponse(events=events, resume_token=token, snapshot=snapshot)


class Repeating:
    """Each call gets the next of the scripts, and breaks off after it, but for the last one."""

    def __init__(self, *scripts: list[WatchTaskRecordsResponse]) -> None:
        self.scripts = list(scripts)
        self.asked: list[str] = []
        """The token of each call."""

    async def watch(
        self, request: WatchTaskRecordsRequest, context: Any
    ) -> AsyncIterator[WatchTaskRecordsResponse]:
        self.asked.append(request.resume_token)
        for each in self.scripts.pop(0):
            yield each
        if self.scripts:
            await context.abort(StatusCode.UNAVAILABLE, "broken off")


@asynccontextmanager
async def serving(servicer: Repeating) -> AsyncIterator[str]:
    handler = grpc.unary_stream_rpc_method_handler(
        servicer.watch,
        WatchTaskRecordsRequest.FromString,
        WatchTaskRecordsResponse.SerializeToString,
    )
    server = grpc.aio.server()
    server.add_registered_method_handlers("vwed.v1.RecordService", {"WatchTaskRecords": handler})
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


async def heard(servicer: Repeating) -> list[tuple[str, list[Told]]]:
    async with serving(servicer) as target, connect(target) as client:
        return [
            (each.resume_token, [(event.task_record_id, event.seq) for event in each.events])
            async for each in watch_runs(client)
        ]


async def test_a_repeat_is_left_out_and_the_rest_comes_as_it_was_sent() -> None:
    servicer = Repeating(
        [
            message("t1", ("a", 3), ("b", 7), snapshot=True),
            message("t2", ("a", 4), ("a", 5)),
            message("t3"),
            message("t3", ("b", 8)),
        ],
        [message("t4", ("a", 5), ("b", 8), ("b", 9)), message("t5", ("c", 1))],
        [],
        [message("t6", ("c", 1)), message("t7", ("c", 2))],
    )
    assert await heard(servicer) == [
        ("t1", [("a", 3), ("b", 7)]),
        ("t2", [("a", 4), ("a", 5)]),
        ("t3", []),
        ("t3", [("b", 8)]),
        ("t4", [("b", 9)]),
        ("t5", [("c", 1)]),
        ("t6", []),
        ("t7", [("c", 2)]),
    ]
    assert servicer.asked == ["", "t3", "t5", "t5"]


async def test_a_snapshot_that_broke_begins_where_its_token_says() -> None:
    servicer = Repeating(
        [message("t1", ("a", 2), ("a", 5), snapshot=True)],
        [message("t2", ("a", 5), ("a", 6), ("b", 1), snapshot=True)],
    )
    assert await heard(servicer) == [
        ("t1", [("a", 2), ("a", 5)]),
        ("t2", [("a", 6), ("b", 1)]),
    ]


async def test_the_next_run_of_a_deleted_one_s_id_is_another() -> None:
    end = message("t1", ("a", 9))
    end.events[0].deleted.SetInParent()
    servicer = Repeating([message("t0", ("a", 8)), end], [message("t2", ("a", 1))])
    assert [told for _, told in await heard(servicer)] == [[("a", 8)], [("a", 9)], [("a", 1)]]


async def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_many, "REMEMBERED_RUNS", 2)
    first = [message("t", (run, 1)) for run in ("a", "b", "c")] + [message("t", ("b", 2))]
    again = [message("t", told) for told in (("b", 2), ("c", 1), ("a", 1), ("b", 2))]
    told = [told for _, told in await heard(Repeating(first, again))]
    assert told[len(first) :] == [[], [], [("a", 1)], []], "who was silent for longest is forgotten"
