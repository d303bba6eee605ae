"""The way of a run through an executor, from its claim to its end."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from vwed.v1.block_record_pb2 import BlockRecord
from vwed.v1.record_service_pb2 import (
    CancelTaskRecordRequest,
    PauseTaskRecordRequest,
    ResumeTaskRecordRequest,
)
from vwed.v1.task_record_pb2 import TaskRecord

from tests.support.steps import blocks_of, create, define, until
from tests.support.waiting import until_true
from vwed.client import Client
from vwed.client.executor import BlockFailed, Executor, Run, StopReason
from vwed_grpc.domain import blocks
from vwed_grpc.domain.lifecycle import (
    CANCELED,
    FAILED,
    INTERRUPTED,
    PAUSED,
    RUNNING,
    SUCCEEDED,
)

Code = Callable[[Run], Awaitable[dict[str, Any] | None]]
TYPE = "transport"


@asynccontextmanager
async def serving(
    target: str, tenant: str, code: Code, executor_id: str = "AMB-01", **options: Any
) -> AsyncIterator[asyncio.Task[None]]:
    executor = Executor(target, executor_id, tenant=tenant, **{"lease": 10, "grace": 0, **options})
    executor.task(task_types=[TYPE])(code)
    task = asyncio.create_task(executor.serve())
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def wanted(client: Client, config: dict[str, Any] | None = None, **fields: Any) -> TaskRecord:
    return await create(client, (await define(client, config, task_type=TYPE)).id, **fields)


def statuses(found: list[BlockRecord]) -> list[tuple[str, int, int]]:
    return [(block.block_id, block.attempt, block.status) for block in found]


async def test_a_run_is_driven_to_its_end(client: Client, target: str, tenant: str) -> None:
    async def code(run: Run) -> dict[str, Any]:
        for step in run.blocks:
            async with run.block(step) as block:
                block.progress(0.5, "half way")
                block.output = {"to": block.inputs["to"], "n": await run.cache.increment("n")}
        return {"steps": len(run.blocks), "input": run.input}

    config = {"blocks": [{"id": x, "type": "move", "inputs": {"to": x * 3}} for x in "ab"]}
    run = await wanted(client, config, input={"pallet": "P-1"})
    async with serving(target, tenant, code):
        record = await until(client, run.id, SUCCEEDED)
    assert dict(record.result) == {"steps": 2, "input": {"pallet": "P-1"}}
    assert (record.executor_id, record.lease_epoch, record.status_actor) == ("AMB-01", 1, "AMB-01")
    found = await blocks_of(client, run.id)
    assert statuses(found) == [("a", 1, blocks.SUCCEEDED), ("b", 1, blocks.SUCCEEDED)]
    assert dict(found[1].output_data) == {"to": "bbb", "n": 2}
    assert (found[0].progress, found[0].message) == (1.0, "half way")
    assert dict(found[0].input_data) == {"to": "aaa"}


async def test_blocks_are_nested_in_the_one_around_them(
    client: Client, target: str, tenant: str
) -> None:
    async def code(run: Run) -> None:
        async with run.block("loop", "for_each") as loop:
            for turn in "12":
                async with run.block("inner", "move", iteration=turn):
                    pass
        async with run.block("after", "move", parent=loop):
            pass

    run = await wanted(client)
    async with serving(target, tenant, code):
        await until(client, run.id, SUCCEEDED)
    loop, *inner, after = await blocks_of(client, run.id)
    assert [(block.iteration, block.parent_block_record_id) for block in inner] == [
        ("1", loop.id),
        ("2", loop.id),
    ]
    assert (loop.parent_block_record_id, after.parent_block_record_id) == ("", loop.id)


@pytest.mark.parametrize(("tries", "end"), [(2, FAILED), (3, SUCCEEDED)])
async def test_a_block_is_tried_again(
    client: Client, target: str, tenant: str, tries: int, end: int
) -> None:
    async def code(run: Run) -> None:
        async for attempt in run.attempts(run.blocks[0], tries):
            async with attempt as block:
                if block.attempt < 3:
                    raise BlockFailed("BLOCKED", "pallet in the way")

    run = await wanted(client)
    async with serving(target, tenant, code):
        record = await until(client, run.id, end)  # type: ignore[arg-type]  # parametrize knows no enums
    assert [b.status for b in await blocks_of(client, run.id)] == [
        blocks.FAILED,
        blocks.FAILED,
        blocks.SUCCEEDED,
    ][:tries]
    if end == FAILED:
        assert (record.error_code, record.error_message) == ("BLOCKED", "pallet in the way")


async def test_any_other_error_fails_the_run(client: Client, target: str, tenant: str) -> None:
    async def code(run: Run) -> None:
        async with run.block("a", "move"):
            raise ZeroDivisionError("by zero")

    run = await wanted(client)
    async with serving(target, tenant, code):
        record = await until(client, run.id, FAILED)
    assert (record.error_code, record.error_message) == ("ZeroDivisionError", "by zero")
    (block,) = await blocks_of(client, run.id)
    assert (block.status, block.error_message) == (blocks.FAILED, "ZeroDivisionError: by zero")


async def test_a_cancel_reaches_the_code(client: Client, target: str, tenant: str) -> None:
    reasons: list[StopReason | None] = []

    async def code(run: Run) -> None:
        async with run.block("a", "move"):
            try:
                await asyncio.sleep(60)
            finally:
                reasons.append(run.stop_reason)

    run = await wanted(client)
    async with serving(target, tenant, code):
        await until_true(lambda: blocks_of(client, run.id))
        await client.records.CancelTaskRecord(CancelTaskRecordRequest(id=run.id))
        await until(client, run.id, CANCELED)
    assert reasons == [StopReason.CANCELED]
    assert statuses(await blocks_of(client, run.id)) == [("a", 1, blocks.CANCELED)]


async def test_a_paused_run_stands_before_its_next_block(
    client: Client, target: str, tenant: str
) -> None:
    async def code(run: Run) -> None:
        async with run.block("a", "move"):
            await run.pausing.wait()
        async with run.block("b", "move"):
            pass

    run = await wanted(client)
    async with serving(target, tenant, code):
        await until_true(lambda: blocks_of(client, run.id))
        await client.records.PauseTaskRecord(PauseTaskRecordRequest(id=run.id))
        await until(client, run.id, PAUSED)
        assert statuses(await blocks_of(client, run.id)) == [("a", 1, blocks.SUCCEEDED)]
        await client.records.ResumeTaskRecord(ResumeTaskRecordRequest(id=run.id))
        await until(client, run.id, SUCCEEDED)


async def test_a_run_is_handed_back_and_gone_on_with(
    client: Client, target: str, tenant: str
) -> None:
    begun = asyncio.Event()

    async def first(run: Run) -> None:
        async with run.block("a", "move") as block:
            block.output = {"found": 7}
        async with run.block("b", "move"):
            begun.set()
            await asyncio.sleep(60)

    async def second(run: Run) -> dict[str, Any]:
        async for _ in run.attempts(run.blocks[0], 1):
            raise AssertionError
        async for attempt in run.attempts(run.blocks[1], 1):
            async with attempt:
                pass
        before = run.previous("a")
        assert before is not None
        return dict(before.output_data)

    run = await wanted(client)
    async with serving(target, tenant, first):
        await begun.wait()
    assert (await until(client, run.id, INTERRUPTED)).executor_id == "AMB-01"
    async with serving(target, tenant, second, "AMB-02"):
        record = await until(client, run.id, SUCCEEDED)
    assert dict(record.result) == {"found": 7}
    assert statuses(await blocks_of(client, run.id)) == [
        ("a", 1, blocks.SUCCEEDED),
        ("b", 1, blocks.CANCELED),
        ("b", 2, blocks.SUCCEEDED),
    ]


async def test_one_run_is_driven_for_a_script(client: Client, target: str, tenant: str) -> None:
    executor = Executor(target, "script", tenant=tenant)

    @executor.task()
    async def code(run: Run) -> dict[str, Any]:
        run.robot_id = "AMB-07"
        async with run.block("a", "move"):
            assert run.record.status == RUNNING
        return {"by": run.record.executor_id}

    run = await wanted(client)
    record = await executor.run_once(run.id)
    assert (record.status, dict(record.result)) == (SUCCEEDED, {"by": "script"})
    (block,) = await blocks_of(client, run.id)
    assert block.robot_id == "AMB-07"
