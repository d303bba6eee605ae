"""Blocks as context managers, and tries of them."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
from vwed.v1.block_record_pb2 import BlockRecord

from tests.support.executors import TASK_TYPE, content, name_of, order, story
from tests.support.steps import blocks_of, create, define, get, history
from tests.support.waiting import until_true
from vwed.client import BlockFailed, Client, Executor, Run
from vwed_grpc.domain import blocks
from vwed_grpc.domain.lifecycle import FAILED, SUCCEEDED

Code = Callable[[Run], Awaitable[None]]

TREE = {
    "blocks": [
        {
            "id": "loop",
            "type": "each",
            "name": "每个托盘",
            "inputs": {"count": 2},
            "children": {"default": [{"id": "drive", "type": "move", "inputs": {"to": "P-07"}}]},
        },
        {"id": "park", "type": "move"},
    ]
}


async def drive(client: Client, executor: Executor, code: Code, *block_ids: str) -> str:
    """The run, once the code has ended."""
    executor.task(task_types=[TASK_TYPE])(code)
    return (await executor.run_once(await order(client, *block_ids))).id


async def named(client: Client, run: str) -> dict[str, BlockRecord]:
    return {name_of(block): block for block in await blocks_of(client, run)}


async def test_the_definitions_blocks_are_steps(client: Client, executor: Executor) -> None:
    @executor.task(task_types=[TASK_TYPE])
    async def transport(run: Run) -> None:
        loop, park = run.blocks
        (inner,) = loop.children["default"]
        for n in range(int(loop.inputs["count"])):
            async with (
                run.block(loop, iteration=str(n)),
                run.block(inner, iteration=str(n)) as block,  # within it, so it is its parent
            ):
                block.output = {"round": n, "to": block.inputs["to"]}
        async with run.block(park):
            pass

    task_def = await define(client, TREE, task_type=TASK_TYPE)
    done = await executor.run_once((await create(client, task_def.id)).id)
    assert done.status == SUCCEEDED, done.error_message
    found = await named(client, done.id)
    assert [*found] == ["loop/0", "drive/0", "loop/1", "drive/1", "park"]
    for n in range(2):
        loop, inner = found[f"loop/{n}"], found[f"drive/{n}"]
        assert (loop.name, loop.block_type, content(loop.input_data)) == (
            "每个托盘",
            "each",
            {"count": 2},
        )
        assert inner.parent_block_record_id == loop.id
        assert content(inner.output_data) == {"round": n, "to": "P-07"}
        assert loop.status == inner.status == blocks.SUCCEEDED


async def test_blocks_that_the_definition_does_not_have(client: Client, executor: Executor) -> None:
    async def transport(run: Run) -> None:
        run.robot_id = "AMB-07"
        async with run.block("extra", "scan", name="扫码", inputs={"code": "X1"}) as block:
            block.output = {"ok": True}

    (block,) = await blocks_of(client, await drive(client, executor, transport))
    assert (block.block_id, block.block_type, block.name) == ("extra", "scan", "扫码")
    assert block.robot_id == "AMB-07"
    assert content(block.input_data) == {"code": "X1"}
    assert content(block.output_data) == {"ok": True}


async def test_progress_is_seen(client: Client, executor: Executor) -> None:
    async def transport(run: Run) -> None:
        async with run.block("a", "move") as block:
            block.progress(0.25, "第一段")
            await until_true(lambda: _progress(client, run.id, 0.25, "第一段"))
            for n in range(1_000):  # what is not on its way yet, the next one takes with it
                block.progress(0.5 + n / 10_000)
            await until_true(lambda: _progress(client, run.id, 0.5999, "第一段"))

    run = await drive(client, executor, transport, "a")
    assert await _progress(client, run, 1.0, "第一段")  # it SUCCEEDED
    assert len(await history(client, run)) < 10


async def _progress(client: Client, run: str, fraction: float, message: str) -> bool:
    blocks = await blocks_of(client, run)
    return [(block.progress, block.message) for block in blocks] == [(fraction, message)]


@pytest.mark.parametrize(
    ("exc", "message"),
    [(BlockFailed("BLOCKED", "pallet in the way"), "pallet in the way"), (KeyError("to"), "'to'")],
)
async def test_an_exception_that_leaves_a_block_fails_it(
    client: Client, executor: Executor, exc: Exception, message: str
) -> None:
    async def transport(run: Run) -> None:
        async with run.block("a", "move") as block:
            block.output = {"way": 3}
            raise exc

    run = await drive(client, executor, transport, "a")
    (block,) = await blocks_of(client, run)
    assert block.status == blocks.FAILED
    assert message in block.error_message
    assert content(block.output_data) == {"way": 3}
    assert (await story(client, run))[-1] == "FAILED"


async def test_an_output_that_is_no_json_fails_the_block(
    client: Client, executor: Executor
) -> None:
    @executor.task(task_types=[TASK_TYPE])
    async def transport(run: Run) -> None:
        async with run.block("a", "move") as block:
            block.output = {"camera": object()}

    done = await executor.run_once(await order(client, "a"))
    assert (done.status, done.error_code) == (FAILED, "TypeError")
    assert (await story(client, done.id))[2:] == ["a RUNNING", "a FAILED", "FAILED"]


async def test_branches_nest_in_the_block_around_them(client: Client, executor: Executor) -> None:
    async def transport(run: Run) -> None:
        async def branch(name: str) -> None:
            async with run.block(f"{name}-outer", "group"):
                await both.wait()
                async with run.block(f"{name}-inner", "move"):
                    pass

        both = asyncio.Barrier(2)
        async with run.block("all", "parallel") as around, asyncio.TaskGroup() as branches:
            branches.create_task(branch("a"))
            branches.create_task(branch("b"))
        async with run.block("after", "move"):
            pass
        async with run.block("of all", "move", parent=around.key):
            pass

    found = await named(client, await drive(client, executor, transport))
    name_by_id = {block.id: name for name, block in found.items()}
    above = {name: name_by_id.get(block.parent_block_record_id) for name, block in found.items()}
    assert above == {
        "all": None,
        "a-outer": "all",
        "b-outer": "all",
        "a-inner": "a-outer",
        "b-inner": "b-outer",
        "after": None,
        "of all": "all",
    }


async def test_a_failed_block_that_the_code_gets_over(client: Client, executor: Executor) -> None:
    async def transport(run: Run) -> None:
        with suppress(BlockFailed):
            async with run.block("a", "move"):
                raise BlockFailed("BLOCKED", "")
        async with run.block("b", "move"):
            pass

    assert (await story(client, await drive(client, executor, transport, "a", "b")))[2:] == [
        "a RUNNING",
        "a FAILED",
        "b RUNNING",
        "b SUCCEEDED",
        "SUCCEEDED",
    ]


async def test_attempts_go_on_after_a_failed_block(client: Client, executor: Executor) -> None:
    tries = list[int]()

    async def transport(run: Run) -> None:
        (step,) = run.blocks
        async for attempt in run.attempts(step, 3):
            async with attempt as block:
                tries.append(block.attempt)
                if block.attempt == 1:
                    raise BlockFailed("BLOCKED", "pallet in the way")

    assert (await story(client, await drive(client, executor, transport, "a")))[2:] == [
        "a RUNNING",
        "a FAILED",
        "a#2 RUNNING",
        "a#2 SUCCEEDED",
        "SUCCEEDED",
    ]
    assert tries == [1, 2]


async def test_the_last_attempts_failure_is_the_runs(client: Client, executor: Executor) -> None:
    @executor.task(task_types=[TASK_TYPE])
    async def transport(run: Run) -> None:
        async for attempt in run.attempts(run.blocks[0], 2):
            async with attempt as block:
                raise BlockFailed(f"BLOCKED_{block.attempt}", "pallet in the way")
        pytest.fail("it must not come here")

    done = await executor.run_once(await order(client, "a"))
    assert (done.status, done.error_code) == (FAILED, "BLOCKED_2")
    assert (await story(client, done.id))[2:] == [
        "a RUNNING",
        "a FAILED",
        "a#2 RUNNING",
        "a#2 FAILED",
        "FAILED",
    ]


async def test_what_is_no_failure_of_the_block_is_not_tried_again(
    client: Client, executor: Executor
) -> None:
    async def transport(run: Run) -> None:
        async for attempt in run.attempts(run.blocks[0], 2):
            async with attempt:
                raise KeyError("to")

    assert (await story(client, await drive(client, executor, transport, "a")))[2:] == [
        "a RUNNING",
        "a FAILED",
        "FAILED",
    ]


async def test_tries_of_iterations_are_apart(client: Client, executor: Executor) -> None:
    async def transport(run: Run) -> None:
        for n in range(2):
            async for attempt in run.attempts(run.blocks[0], 2, iteration=str(n)):
                async with attempt as block:
                    if block.attempt == 1:
                        raise BlockFailed("BLOCKED", "")

    assert [*await named(client, await drive(client, executor, transport, "a"))] == [
        "a/0",
        "a/0#2",
        "a/1",
        "a/1#2",
    ]


async def test_a_block_named_again_is_a_next_try(client: Client, executor: Executor) -> None:
    async def transport(run: Run) -> None:
        for _ in range(2):
            async with run.block("a", "move"):
                pass

    assert (await story(client, await drive(client, executor, transport, "a")))[2:] == [
        "a RUNNING",
        "a SUCCEEDED",
        "a#2 RUNNING",
        "a#2 SUCCEEDED",
        "SUCCEEDED",
    ]


async def test_blocks_that_take_no_time_leave_the_loop_to_others(
    client: Client, executor: Executor
) -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def code(run: Run) -> None:
        before = turns
        for n in range(500):
            async with run.block("b", "move", iteration=str(n)):
                pass
        assert turns - before >= 5

    beside = asyncio.create_task(other())
    run = await drive(client, executor, code)
    beside.cancel()
    assert (await get(client, run)).status == SUCCEEDED
