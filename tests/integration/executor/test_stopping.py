"""Rule 9: an executor that is told to stop lets its runs end, then hands them back."""

import asyncio
import signal
from time import monotonic

from vwed.v1.record_service_pb2 import CancelTaskRecordRequest

from tests.support.executors import (
    TASK_TYPE,
    MakeExecutor,
    StartRobot,
    at_work,
    order,
    story,
    until_told,
)
from tests.support.proxy import Proxy
from tests.support.steps import get, until
from tests.support.waiting import PATIENCE
from vwed.client import Client, Executor, Run, StopReason
from vwed_grpc.domain.lifecycle import CANCELED, INTERRUPTED, PENDING, SUCCEEDED


async def test_within_its_grace_a_run_ends_as_its_code_does(
    client: Client, target: str, tenant: str
) -> None:
    executor = Executor(target, "AMB-01", tenant=tenant, grace=PATIENCE)
    go = asyncio.Event()

    @executor.task(task_types=[TASK_TYPE])
    async def transport(run: Run) -> None:
        async with run.block("a", "move"):
            await go.wait()
        async with run.block("b", "move"):
            pass

    async with at_work(executor) as serving:
        run = await order(client)
        await until_told(client, run, "a RUNNING")
        serving.cancel()
        untouched = await order(client)
        go.set()
        await asyncio.wait([serving])
    assert (await story(client, run))[-3:] == ["b RUNNING", "b SUCCEEDED", "SUCCEEDED"]
    assert (await get(client, untouched)).status == PENDING


async def test_beyond_its_grace_the_code_is_stopped_and_the_run_handed_back(
    client: Client, executor: Executor
) -> None:
    reasons = list[StopReason | None]()

    @executor.task(task_types=[TASK_TYPE])
    async def transport(run: Run) -> None:
        try:
            async with run.block("a", "move"):
                pass
            async with run.block("b", "move"):
                await asyncio.Event().wait()
        finally:
            reasons.append(run.stop_reason)

    async with at_work(executor):
        run = await order(client)
        await until_told(client, run, "b RUNNING")
    assert reasons == [StopReason.RELEASED]
    # As soon as it has stopped, not once its lease is over.
    assert (await get(client, run, strong=True)).status == INTERRUPTED
    assert await story(client, run) == [
        "PENDING",
        "RUNNING",
        "a RUNNING",
        "a SUCCEEDED",
        "b RUNNING",
        "b CANCELED",
        "INTERRUPTED",
    ]


async def test_a_canceled_run_is_not_handed_back_but_ended(
    client: Client, target: str, tenant: str
) -> None:
    executor = Executor(target, "AMB-01", tenant=tenant, grace=0)
    canceled = asyncio.Event()

    @executor.task(task_types=[TASK_TYPE])
    async def transport(run: Run) -> None:
        async with run.block("a", "move"):
            try:
                await asyncio.Event().wait()
            finally:
                canceled.set()
                await asyncio.Event().wait()  # it takes its time to clean up

    async with at_work(executor):
        run = await order(client)
        await until_told(client, run, "a RUNNING")
        await client.records.CancelTaskRecord(CancelTaskRecordRequest(id=run))
        await canceled.wait()
    assert (await get(client, run, strong=True)).status == CANCELED
    assert (await get(client, run)).error_code != "EXECUTOR_LOST"


async def test_one_run_for_a_script_is_handed_back_too(client: Client, executor: Executor) -> None:
    @executor.task(task_types=[TASK_TYPE])
    async def transport(run: Run) -> None:
        async with run.block("a", "move"):
            await asyncio.Event().wait()

    run = await order(client)
    script = asyncio.create_task(executor.run_once(run))
    await until_told(client, run, "a RUNNING")
    script.cancel()
    await asyncio.wait([script])
    assert script.cancelled()
    assert (await story(client, run))[2:] == ["a RUNNING", "a CANCELED", "INTERRUPTED"]


async def test_a_server_that_is_away_is_waited_for_as_long_as_the_lease_lasts(
    client: Client, behind_proxy: MakeExecutor, proxy: Proxy
) -> None:
    executor = behind_proxy(lease=1)

    @executor.task(task_types=[TASK_TYPE])
    async def transport(run: Run) -> None:
        async with run.block("a", "move"):
            await asyncio.Event().wait()

    async with at_work(executor) as serving:
        run = await order(client)
        await until_told(client, run, "a RUNNING")
        proxy.freeze()
        serving.cancel()
        began = monotonic()
        _, late = await asyncio.wait([serving], timeout=PATIENCE)
        assert not late
        assert monotonic() - began < 8


async def test_a_server_that_comes_back_in_time_gets_the_run_back(
    client: Client, behind_proxy: MakeExecutor, proxy: Proxy
) -> None:
    executor, stopped = behind_proxy(), asyncio.Event()

    @executor.task(task_types=[TASK_TYPE])
    async def transport(run: Run) -> None:
        try:
            async with run.block("a", "move"):
                await asyncio.Event().wait()
        finally:
            stopped.set()

    async with at_work(executor) as serving:
        run = await order(client)
        await until_told(client, run, "a RUNNING")
        proxy.freeze()
        serving.cancel()
        await stopped.wait()
        proxy.thaw()
        await asyncio.wait([serving])
    assert (await get(client, run, strong=True)).status == INTERRUPTED
    assert (await story(client, run))[2:] == ["a RUNNING", "a CANCELED", "INTERRUPTED"]


async def test_sigterm_ends_the_process_in_order(client: Client, robot: StartRobot) -> None:
    run = await order(client)
    process = await robot()
    assert (await process.says()).startswith("b0 ")
    process.send(signal.SIGTERM)
    *_, stopped, done = await process.last_words()
    assert (stopped, done) == ("stopped RELEASED", "done")
    assert await process.exit_code() == 0
    assert (await get(client, run, strong=True)).status == INTERRUPTED


async def test_a_second_signal_ends_it_at_once(client: Client, robot: StartRobot) -> None:
    run = await order(client)
    process = await robot(character="stubborn")
    assert (await process.says()).startswith("b0 ")
    process.send(signal.SIGTERM)
    while await process.says() != "stopped RELEASED":
        pass
    process.send(signal.SIGTERM)
    async with asyncio.timeout(PATIENCE):
        await process.exit_code()
    assert (await get(client, run, strong=True)).status != SUCCEEDED


async def test_what_one_handed_back_another_goes_on_with(
    client: Client, target: str, tenant: str
) -> None:
    def new(name: str, block: str, end: asyncio.Event) -> Executor:
        executor = Executor(target, name, tenant=tenant, grace=0)

        @executor.task(task_types=[TASK_TYPE])
        async def transport(run: Run) -> None:
            async with run.block(block, "move"):
                await end.wait()

        return executor

    never, at_once = asyncio.Event(), asyncio.Event()
    at_once.set()
    run = await order(client)
    async with at_work(new("AMB-01", "a", never)):
        await until_told(client, run, "a RUNNING")
    async with at_work(new("AMB-02", "b", at_once)):
        done = await until(client, run, SUCCEEDED)
    assert (done.executor_id, done.lease_epoch) == ("AMB-02", 2)
