"""Rule 6: what operators do to a run reaches its code at once."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import monotonic

import pytest
from vwed.v1.record_service_pb2 import (
    CancelTaskRecordRequest,
    DeleteTaskRecordRequest,
    SignalTaskRecordRequest,
)

from tests.support.executors import TASK_TYPE, at_work, content, order, story, until_told
from tests.support.steps import struct, until
from tests.support.waiting import promptly, until_true
from vwed.client import Client, Executor, Run, StopReason
from vwed_grpc.domain.lifecycle import CANCELED, SUCCEEDED

Do = Callable[[Client, str], Awaitable[object]]


async def cancel(client: Client, run: str, *, force: bool = False) -> None:
    await client.records.CancelTaskRecord(CancelTaskRecordRequest(id=run, force=force))


async def test_cancel_reaches_the_code_and_waits_for_its_clean_up(
    client: Client, executor: Executor
) -> None:
    reasons = list[StopReason | None]()

    @executor.task(task_types=[TASK_TYPE])
    async def transport(run: Run) -> None:
        try:
            async with run.block("a", "move"):
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            reasons.append(run.stop_reason)
            async with run.block("put down", "lift"):
                await asyncio.sleep(0)
            raise

    async with at_work(executor):
        run = await order(client)
        await until_told(client, run, "a RUNNING")
        await cancel(client, run)
        await until(client, run, CANCELED)
    assert reasons == [StopReason.CANCELED]
    assert await story(client, run) == [
        "PENDING",
        "RUNNING",
        "a RUNNING",
        "CANCELING",
        "a CANCELED",
        "put down RUNNING",
        "put down SUCCEEDED",
        "CANCELED",
    ]


async def test_cancel_comes_promptly(client: Client, executor: Executor) -> None:
    canceled = dict[str, float]()

    @executor.task(task_types=[TASK_TYPE])
    async def transport(run: Run) -> None:
        try:
            async with run.block("a", "move"):
                await asyncio.Event().wait()
        finally:
            canceled[run.id] = monotonic()

    async def measure() -> float:
        run = await order(client)
        await until_told(client, run, "a RUNNING")
        began = monotonic()
        await cancel(client, run)
        await until_true(lambda: run in canceled)
        return canceled[run] - began

    async with at_work(executor):
        await promptly(measure, below=0.5)


async def test_a_code_that_is_through_all_the_same_says_so(
    client: Client, executor: Executor
) -> None:
    @executor.task(task_types=[TASK_TYPE])
    async def transport(run: Run) -> dict[str, bool]:
        with suppress(asyncio.CancelledError):
            async with run.block("a", "move"):
                await asyncio.Event().wait()
        return {"delivered": True}

    async with at_work(executor):
        run = await order(client)
        await until_told(client, run, "a RUNNING")
        await cancel(client, run)
        done = await until(client, run, SUCCEEDED)
    assert content(done.result) == {"delivered": True}


@pytest.mark.parametrize(
    ("do", "reason"),
    [
        (lambda client, run: cancel(client, run, force=True), StopReason.CANCELED),
        (
            lambda client, run: client.records.DeleteTaskRecord(
                DeleteTaskRecordRequest(id=run, force=True)
            ),
            StopReason.DELETED,
        ),
    ],
    ids=["canceled by force", "deleted"],
)
async def test_a_run_that_is_over_stops_its_code(
    client: Client, executor: Executor, do: Do, reason: StopReason
) -> None:
    reasons = list[StopReason | None]()

    @executor.task(task_types=[TASK_TYPE])
    async def transport(run: Run) -> None:
        try:
            async with run.block("a", "move"):
                await asyncio.Event().wait()
        finally:
            reasons.append(run.stop_reason)

    async with at_work(executor):
        run = await order(client)
        await until_told(client, run, "a RUNNING")
        await do(client, run)
        await until_true(lambda: reasons)
        assert reasons == [reason]
        # Its place is free again.
        await until_told(client, await order(client), "a RUNNING")


async def test_signals_come_in_order_with_what_they_carry(
    client: Client, executor: Executor
) -> None:
    heard = list[tuple[str, dict[str, object]]]()

    @executor.task(task_types=[TASK_TYPE])
    async def transport(run: Run) -> None:
        async with run.block("a", "move"):
            async for signal in run.signals():
                heard.append((signal.name, content(signal.payload)))
                if signal.name == "last":
                    return

    async with at_work(executor):
        run = await order(client)
        await until_told(client, run, "a RUNNING")
        for n in range(5):
            await client.records.SignalTaskRecord(
                SignalTaskRecordRequest(id=run, name="say", payload=struct({"n": n}))
            )
        await client.records.SignalTaskRecord(SignalTaskRecordRequest(id=run, name="last"))
        await until(client, run, SUCCEEDED)
    assert heard == [*(("say", {"n": n}) for n in range(5)), ("last", {})]


async def test_signals_that_came_before_they_were_asked_for_are_kept(
    client: Client, executor: Executor
) -> None:
    go, heard = asyncio.Event(), list[str]()

    @executor.task(task_types=[TASK_TYPE])
    async def transport(run: Run) -> None:
        async with run.block("a", "move"):
            await go.wait()
        async for signal in run.signals():
            heard.append(signal.name)
            return

    async with at_work(executor):
        run = await order(client)
        await until_told(client, run, "a RUNNING")
        await client.records.SignalTaskRecord(SignalTaskRecordRequest(id=run, name="early"))
        go.set()
        await until(client, run, SUCCEEDED)
    assert heard == ["early"]
