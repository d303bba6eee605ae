"""Rule 10: who takes a run up again knows what was done of it."""

from typing import Any

from vwed.v1.block_record_pb2 import BlockRecord
from vwed.v1.record_service_pb2 import ReleaseTaskRecordRequest

from tests.support.executors import TASK_TYPE, at_work, content, order, story
from tests.support.steps import block, report, start, until
from vwed.client import Client, Executor, Run
from vwed_grpc.domain import blocks
from vwed_grpc.domain.lifecycle import SUCCEEDED


async def left_by_another(client: Client, run: str, *reports: list[BlockRecord]) -> None:
    """It has reported these, and handed the run back."""
    record = await start(client, run, "another")
    fence: dict[str, Any] = {"executor_id": "another", "lease_epoch": record.lease_epoch}
    for several in reports:
        await report(client, run, *several, **fence)
    await client.records.ReleaseTaskRecord(ReleaseTaskRecordRequest(id=run, **fence))


async def test_what_was_done_is_not_done_again(client: Client, executor: Executor) -> None:
    @executor.task(task_types=[TASK_TYPE])
    async def transport(run: Run) -> dict[str, list[str]]:
        entered = list[str]()
        for step in run.blocks:
            async for attempt in run.attempts(step, 2):
                async with attempt as block:
                    entered.append(f"{block.id}#{block.attempt}")
        return {"entered": entered}

    run = await order(client, "done", "skipped", "failed", "open", "new")
    await left_by_another(
        client,
        run,
        [
            block("done", blocks.SUCCEEDED),
            block("skipped", blocks.SKIPPED),
            block("failed", blocks.FAILED),
            block("failed", blocks.FAILED, attempt=2),
            block("open", blocks.RUNNING),
        ],
    )
    async with at_work(executor):
        ended = await until(client, run, SUCCEEDED)
    assert content(ended.result) == {"entered": ["failed#3", "open#2", "new#1"]}
    assert (ended.executor_id, ended.lease_epoch) == ("AMB-01", 2)


async def test_what_is_known_of_a_block(client: Client, executor: Executor) -> None:
    @executor.task(task_types=[TASK_TYPE])
    async def transport(run: Run) -> dict[str, object]:
        last = run.previous("drive", "1")
        assert last is not None
        async with run.block("drive", "move", iteration="1") as block:
            return {
                "attempt": last.attempt,
                "output": content(last.output_data),
                "status": last.status,
                "unknown": run.previous("drive", "3") is None and run.previous("lift") is None,
                "next": block.attempt,
            }

    run = await order(client)
    await left_by_another(
        client,
        run,
        [
            block("drive", blocks.SUCCEEDED, iteration="0"),
            block("drive", blocks.FAILED, iteration="1"),
            block("drive", blocks.FAILED, iteration="1", attempt=2, output_data={"at": "P-03"}),
        ],
    )
    async with at_work(executor):
        done = await until(client, run, SUCCEEDED)
    assert content(done.result) == {
        "attempt": 2,
        "output": {"at": "P-03"},
        "status": blocks.FAILED,
        "unknown": True,
        "next": 3,
    }


async def test_it_knows_all_of_many_blocks(client: Client, executor: Executor) -> None:
    """More than a page of them."""
    count = 1_050

    @executor.task(task_types=[TASK_TYPE])
    async def transport(run: Run) -> dict[str, int]:
        known = sum(run.previous("pick", str(n)) is not None for n in range(count + 1))
        done = 0
        for n in range(count - 2, count + 1):
            async for attempt in run.attempts(run.blocks[0], 1, iteration=str(n)):
                async with attempt:
                    done += 1
        return {"known": known, "done": done}

    run = await order(client, "pick")
    picks = [block("pick", blocks.SUCCEEDED, iteration=str(n)) for n in range(count)]
    await left_by_another(client, run, picks[:1000], picks[1000:])
    async with at_work(executor):
        ended = await until(client, run, SUCCEEDED)
    assert content(ended.result) == {"known": count, "done": 1}


async def test_one_run_for_a_script_is_taken_up_too(client: Client, executor: Executor) -> None:
    @executor.task(task_types=[TASK_TYPE])
    async def transport(run: Run) -> None:
        for step in run.blocks:
            async for attempt in run.attempts(step, 1):
                async with attempt:
                    pass

    run = await order(client, "a", "b")
    await left_by_another(client, run, [block("a", blocks.SUCCEEDED)])
    assert (await executor.run_once(run)).status == SUCCEEDED
    assert await story(client, run) == [
        "PENDING",
        "RUNNING",
        "a SUCCEEDED",
        "INTERRUPTED",
        "RUNNING@2",
        "b RUNNING",
        "b SUCCEEDED",
        "SUCCEEDED@2",
    ]
