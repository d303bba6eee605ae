"""What becomes of a run while its executor cannot hear of it reaches its code all the same."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from vwed.v1.record_service_pb2 import (
    ClaimTaskRecordsRequest,
    WatchTaskRecordsResponse,
)
from vwed.v1.task_record_event_pb2 import TaskRecordEvent

from tests.integration.runs.test_runs_cancel import cancel
from tests.integration.runs.test_runs_delete import delete
from tests.support.executors import TASK_TYPE, at_work, order, until_final, until_told
from tests.support.steps import get
from tests.support.waiting import until_true
from vwed.client import Client, Executor, Run, StopReason, watch_runs
from vwed.client.executor import control
from vwed.client.executor.persistent_calls import Answer, PersistentCalls
from vwed_grpc.domain.lifecycle import PENDING, RUNNING

Do = Callable[[Client, str], Awaitable[object]]
Messages = AsyncGenerator[WatchTaskRecordsResponse]


ENDS = pytest.mark.parametrize(
    ("do", "reason"),
    [
        (cancel, StopReason.CANCELED),
        (partial(cancel, force=True), StopReason.CANCELED),
        (partial(delete, force=True), StopReason.DELETED),
    ],
    ids=["canceled", "canceled by force", "deleted"],
)


def waiting(executor: Executor, message: str = "") -> list[StopReason | None]:
    """Why the code of each run was stopped, but of the first, which ends at once.

    The others make no call of their own, whose answer would tell.
    """
    begun, reasons = list[str](), list[StopReason | None]()

    @executor.task(task_types=[TASK_TYPE])
    async def transport(run: Run) -> None:
        begun.append(run.id)
        if len(begun) == 1:
            return
        run.message = message
        try:
            await asyncio.Event().wait()
        finally:
            reasons.append(run.stop_reason)

    return reasons


async def has_beaten(client: Client, run: str) -> bool:
    """Whether it has said what its code has to say: by then its first heartbeat is answered."""
    return (await get(client, run, strong=True)).message == "on its way"


@ENDS
async def test_before_its_stream_has_begun(
    client: Client,
    executor: Executor,
    monkeypatch: pytest.MonkeyPatch,
    do: Do,
    reason: StopReason,
) -> None:
    may_begin, reasons = asyncio.Event(), waiting(executor, "on its way")

    async def later(*args: Any, **kwargs: Any) -> Messages:
        await may_begin.wait()
        async for message in watch_runs(*args, **kwargs):
            yield message

    monkeypatch.setattr(control, "watch_runs", later)
    async with at_work(executor):
        await until_final(client, await order(client))
        run = await order(client)
        await until_true(lambda: has_beaten(client, run))
        await do(client, run)
        may_begin.set()
        await until_true(lambda: reasons)
    assert reasons == [reason]


@ENDS
async def test_before_the_claim_was_answered(
    client: Client,
    executor: Executor,
    monkeypatch: pytest.MonkeyPatch,
    do: Do,
    reason: StopReason,
) -> None:
    may_arrive, told, ask = asyncio.Event(), list[TaskRecordEvent](), PersistentCalls.ask
    may_arrive.set()
    reasons = waiting(executor)

    async def late(calls: PersistentCalls, method: Any, request: Any, **kwargs: Any) -> Answer[Any]:
        answer = await ask(calls, method, request, **kwargs)
        if isinstance(request, ClaimTaskRecordsRequest):
            await may_arrive.wait()
        return answer

    async def listed(*args: Any, **kwargs: Any) -> Messages:
        async for message in watch_runs(*args, **kwargs):
            yield message
            told.extend(message.events)

    def was_told() -> bool:
        return any(
            event.task_record_id == run and event.task_record.status not in (PENDING, RUNNING)
            for event in told
        )

    monkeypatch.setattr(PersistentCalls, "ask", late)
    monkeypatch.setattr(control, "watch_runs", listed)
    async with at_work(executor):
        await until_final(client, await order(client))
        may_arrive.clear()
        run = await order(client)
        await until_told(client, run, "RUNNING")
        await do(client, run)
        await until_true(was_told)
        may_arrive.set()
        # Its place is free, whether its code had begun or not.
        await until_told(client, await order(client), "RUNNING")
        assert reasons in ([], [reason])
