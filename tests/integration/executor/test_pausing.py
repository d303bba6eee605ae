"""Rule 7: a paused run stands at a block's entry or at a checkpoint, and says so once it does."""

import asyncio

from vwed.v1.record_service_pb2 import (
    CancelTaskRecordRequest,
    PauseTaskRecordRequest,
    ResumeTaskRecordRequest,
)

from tests.support.executors import (
    TASK_TYPE,
    MakeExecutor,
    at_work,
    order,
    story,
    until_renewed,
    until_told,
)
from tests.support.proxy import Proxy
from tests.support.steps import until
from tests.support.waiting import until_true
from vwed.client import Client, Executor, Run
from vwed_grpc.domain.lifecycle import CANCELED, PAUSED, SUCCEEDED


async def pause(client: Client, run: str) -> None:
    await client.records.PauseTaskRecord(PauseTaskRecordRequest(id=run))


async def resume(client: Client, run: str) -> None:
    await client.records.ResumeTaskRecord(ResumeTaskRecordRequest(id=run))


async def test_it_stands_before_the_next_block(client: Client, executor: Executor) -> None:
    @executor.task(task_types=[TASK_TYPE])
    async def transport(run: Run) -> None:
        async with run.block("a", "move"):
            await run.pausing.wait()  # else it may be done before it hears of the pause
        async with run.block("b", "move"):
            pass

    async with at_work(executor):
        run = await order(client)
        await until_told(client, run, "a RUNNING")
        await pause(client, run)
        await until(client, run, PAUSED)
        # All that was reported before stands before it, and nothing comes until it goes on.
        assert await story(client, run) == (
            told := ["PENDING", "RUNNING", "a RUNNING", "PAUSING", "a SUCCEEDED", "PAUSED"]
        )
        await resume(client, run)
        await until(client, run, SUCCEEDED)
    assert await story(client, run) == [
        *told,
        "RUNNING",
        "b RUNNING",
        "b SUCCEEDED",
        "SUCCEEDED",
    ]


async def test_it_has_said_all_before_it_says_that_it_stands(
    client: Client, behind_proxy: MakeExecutor, proxy: Proxy
) -> None:
    executor, go, went, count = behind_proxy(), asyncio.Event(), asyncio.Event(), 2_500

    @executor.task(task_types=[TASK_TYPE])
    async def transport(run: Run) -> None:
        async with run.block("a", "move"):
            await go.wait()
        for n in range(count):
            async with run.block(f"b{n}", "move"):
                pass
        went.set()
        await run.pausing.wait()
        await run.checkpoint()

    async with at_work(executor):
        run = await order(client)
        await until_told(client, run, "a RUNNING")
        proxy.freeze()
        go.set()
        await went.wait()
        await pause(client, run)
        proxy.thaw()
        await until(client, run, PAUSED)
        told = await story(client, run)
        assert told[-2:] == [f"b{count - 1} SUCCEEDED", "PAUSED"]


async def test_it_stands_at_a_checkpoint(client: Client, executor: Executor) -> None:
    passed, went = 0, asyncio.Event()

    @executor.task(task_types=[TASK_TYPE])
    async def transport(run: Run) -> None:
        nonlocal passed
        async with run.block("a", "move"):
            await run.pausing.wait()  # in mid-motion
            await run.checkpoint()
            passed += 1
            assert not run.pausing.is_set()
            await went.wait()

    async with at_work(executor):
        run = await order(client)
        await until_told(client, run, "a RUNNING")
        await pause(client, run)
        await until(client, run, PAUSED)
        assert passed == 0
        await resume(client, run)
        await until_true(lambda: passed == 1)
        went.set()
        await until(client, run, SUCCEEDED)
    assert (await story(client, run))[2:] == [
        "a RUNNING",
        "PAUSING",
        "PAUSED",
        "RUNNING",
        "a SUCCEEDED",
        "SUCCEEDED",
    ]


async def test_it_stands_once_all_its_branches_do(client: Client, target: str, tenant: str) -> None:
    executor = Executor(target, "AMB-01", tenant=tenant, lease=1, grace=0)
    arrived, stood = asyncio.Event(), asyncio.Event()

    @executor.task(task_types=[TASK_TYPE])
    async def transport(run: Run) -> None:
        async def drive(block: str) -> None:
            async with run.block(block, "move"):
                await run.pausing.wait()
                if block == "late":
                    await arrived.wait()
                else:
                    stood.set()
                await run.checkpoint()

        async with asyncio.TaskGroup() as branches:
            branches.create_task(drive("early"))
            branches.create_task(drive("late"))

    async with at_work(executor):
        run = await order(client)
        await until_told(client, run, "early RUNNING")
        await until_told(client, run, "late RUNNING")
        await pause(client, run)
        await stood.wait()
        await until_renewed(client, run, times=1)  # it would have said so with this
        assert "PAUSED" not in await story(client, run)
        arrived.set()
        await until(client, run, PAUSED)
        await resume(client, run)
        await until(client, run, SUCCEEDED)


async def test_it_goes_on_if_it_was_resumed_before_it_stood(
    client: Client, executor: Executor
) -> None:
    seen = asyncio.Event()

    @executor.task(task_types=[TASK_TYPE])
    async def transport(run: Run) -> None:
        async with run.block("a", "move"):
            await run.pausing.wait()
            seen.set()
            await until_true(lambda: not run.pausing.is_set())
        async with run.block("b", "move"):
            pass

    async with at_work(executor):
        run = await order(client)
        await until_told(client, run, "a RUNNING")
        await pause(client, run)
        await seen.wait()
        await resume(client, run)
        await until(client, run, SUCCEEDED)
    assert (await story(client, run))[2:] == [
        "a RUNNING",
        "PAUSING",
        "RUNNING",
        "a SUCCEEDED",
        "b RUNNING",
        "b SUCCEEDED",
        "SUCCEEDED",
    ]


async def test_many_changes_of_mind_leave_it_as_it_was_last(
    client: Client, executor: Executor
) -> None:
    """A pause that was resumed meanwhile is refused, which is no reason to stop."""
    end, count = asyncio.Event(), 0

    @executor.task(task_types=[TASK_TYPE])
    async def transport(run: Run) -> None:
        nonlocal count
        while not end.is_set():
            async with run.block("a", "move"):
                await asyncio.sleep(0.001)
            count += 1

    async with at_work(executor):
        run = await order(client)
        await until_told(client, run, "a RUNNING")
        for _ in range(10):
            await pause(client, run)
            await resume(client, run)
        before = count
        await until_true(lambda: count > before + 3, what="a block after it went on")
        await pause(client, run)
        await until(client, run, PAUSED)
        end.set()
        await resume(client, run)
        await until(client, run, SUCCEEDED)


async def test_a_paused_run_keeps_its_lease(client: Client, target: str, tenant: str) -> None:
    executor = Executor(target, "AMB-01", tenant=tenant, lease=1, grace=0)

    @executor.task(task_types=[TASK_TYPE])
    async def transport(run: Run) -> None:
        async with run.block("a", "move"):
            await run.pausing.wait()
        async with run.block("b", "move"):
            pass

    async with at_work(executor):
        run = await order(client)
        await until_told(client, run, "a RUNNING")
        await pause(client, run)
        await until(client, run, PAUSED)
        await until_renewed(client, run)
        await resume(client, run)
        await until(client, run, SUCCEEDED)
    assert "INTERRUPTED" not in await story(client, run)


async def test_a_paused_run_can_be_canceled(client: Client, executor: Executor) -> None:
    @executor.task(task_types=[TASK_TYPE])
    async def transport(run: Run) -> None:
        await run.pausing.wait()
        async with run.block("a", "move"):
            pass

    async with at_work(executor):
        run = await order(client)
        await until_told(client, run, "RUNNING")
        await pause(client, run)
        await until(client, run, PAUSED)
        await client.records.CancelTaskRecord(CancelTaskRecordRequest(id=run))
        await until(client, run, CANCELED)
    assert await story(client, run) == [
        "PENDING",
        "RUNNING",
        "PAUSING",
        "PAUSED",
        "CANCELING",
        "CANCELED",
    ]
