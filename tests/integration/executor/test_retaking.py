"""Rules 4 and 5: a lease that ran out is taken again, never stolen, and never driven twice."""

import asyncio

import pytest
from vwed.v1.record_service_pb2 import ReleaseTaskRecordRequest

from tests.support.executors import TASK_TYPE, MakeExecutor, at_work, order, story, until_told
from tests.support.proxy import Proxy
from tests.support.steps import everything, get, let_lease_run_out, start, until
from tests.support.waiting import until_true
from vwed.client import Client, Executor, Run, StopReason
from vwed_grpc.domain.lifecycle import SUCCEEDED


@pytest.mark.parametrize("concurrency", [1, 2], ids=["retake", "trap"])
async def test_an_interrupted_run_is_retaken_and_driven_once(
    client: Client, target: str, tenant: str, database_url: str, concurrency: int
) -> None:
    """With a place free, the executor's own waiting claim may be what is given the run."""
    executor = Executor(target, "AMB-01", tenant=tenant, concurrency=concurrency, grace=0)
    drives, go = 0, asyncio.Event()

    @executor.task(task_types=[TASK_TYPE])
    async def transport(run: Run) -> None:
        nonlocal drives
        drives += 1
        async with run.block("a", "move"):
            await go.wait()
        async with run.block("b", "move"):
            pass

    async with at_work(executor):
        run = await order(client)
        await until_told(client, run, "a RUNNING")
        await let_lease_run_out(database_url, run)
        await until_told(client, run, "RUNNING@2")
        go.set()
        await until(client, run, SUCCEEDED)
    assert drives == 1
    assert await story(client, run) == [
        "PENDING",
        "RUNNING",
        "a RUNNING",
        "INTERRUPTED",
        "RUNNING@2",
        "a SUCCEEDED",
        "b RUNNING",
        "b SUCCEEDED",
        "SUCCEEDED@2",
    ]


async def test_what_was_reported_during_an_outage_goes_out_after_it(
    client: Client, behind_proxy: MakeExecutor, proxy: Proxy, database_url: str
) -> None:
    executor, entered, go = behind_proxy(), asyncio.Event(), asyncio.Event()

    @executor.task(task_types=[TASK_TYPE])
    async def transport(run: Run) -> None:
        async with run.block("a", "move"):
            entered.set()
            await go.wait()
        async with run.block("b", "move"):  # the lease is ours by our own clock
            pass

    async with at_work(executor):
        run = await order(client)
        await until_told(client, run, "a RUNNING")
        proxy.freeze()
        go.set()
        await let_lease_run_out(database_url, run)
        await until_told(client, run, "INTERRUPTED")
        proxy.thaw()
        await until(client, run, SUCCEEDED)
    told = await story(client, run)
    assert [words for words in told if " " in words] == [
        "a RUNNING",
        "a SUCCEEDED",
        "b RUNNING",
        "b SUCCEEDED",
    ]
    assert told.count("INTERRUPTED") == 1
    assert told[-1].startswith("SUCCEEDED")


async def test_an_outage_within_the_lease_changes_nothing(
    client: Client, behind_proxy: MakeExecutor, proxy: Proxy
) -> None:
    executor, entered, came_back = behind_proxy(), 0, asyncio.Event()

    @executor.task(task_types=[TASK_TYPE])
    async def transport(run: Run) -> None:
        nonlocal entered
        for n in range(20):
            async with run.block(f"b{n}", "move"):
                entered += 1
            if entered == 15:
                await came_back.wait()

    async with at_work(executor):
        run = await order(client)
        await until_true(lambda: entered > 0)
        there, proxy.upstream = proxy.upstream, ("127.0.0.1", 1)
        await proxy.cut()
        await until_true(lambda: entered == 15, what="work while the service is away")
        proxy.upstream = there
        came_back.set()
        await until(client, run, SUCCEEDED)
    assert await story(client, run) == [
        "PENDING",
        "RUNNING",
        *(f"b{n} {status}" for n in range(20) for status in ("RUNNING", "SUCCEEDED")),
        "SUCCEEDED",
    ]


async def test_a_run_that_another_drives_is_let_go(
    client: Client, behind_proxy: MakeExecutor, proxy: Proxy, database_url: str
) -> None:
    executor, go = behind_proxy(), asyncio.Event()
    reasons = list[StopReason | None]()

    @executor.task(task_types=[TASK_TYPE])
    async def transport(run: Run) -> None:
        try:
            async with run.block("a", "move"):
                await go.wait()
            async with run.block("b", "move") as block:
                block.output = {"nobody": "reads this"}
                await asyncio.Event().wait()
        finally:
            reasons.append(run.stop_reason)

    async with at_work(executor):
        run = await order(client)
        await until_told(client, run, "a RUNNING")
        proxy.freeze()
        go.set()
        await let_lease_run_out(database_url, run)
        assert (await start(client, run, "another")).lease_epoch == 2
        before = await everything(client, run)
        proxy.thaw()
        await until_true(lambda: reasons, what="the end of the code")
    assert reasons[0] is StopReason.LEASE_LOST
    assert await everything(client, run) == before


@pytest.mark.parametrize("concurrency", [1, 2], ids=["retake", "trap"])
async def test_a_run_that_another_drove_meanwhile_begins_anew(
    client: Client,
    behind_proxy: MakeExecutor,
    proxy: Proxy,
    database_url: str,
    concurrency: int,
) -> None:
    """Nobody drives it now, but what we know of it is no longer so."""
    executor, go = behind_proxy(concurrency=concurrency), asyncio.Event()
    drives = list[tuple[int, StopReason | None]]()

    @executor.task(task_types=[TASK_TYPE])
    async def transport(run: Run) -> None:
        epoch = run.record.lease_epoch
        try:
            async with run.block("a", "move"):
                await go.wait()
            if epoch == 1:
                await asyncio.Event().wait()
        finally:
            drives.append((epoch, run.stop_reason))

    async with at_work(executor):
        run = await order(client)
        await until_told(client, run, "a RUNNING")
        proxy.freeze()
        go.set()
        await let_lease_run_out(database_url, run)
        taken = await start(client, run, "another")
        await client.records.ReleaseTaskRecord(
            ReleaseTaskRecordRequest(id=run, executor_id="another", lease_epoch=taken.lease_epoch)
        )
        proxy.thaw()
        await until(client, run, SUCCEEDED)
    assert drives == [(1, StopReason.LEASE_LOST), (3, None)]
    assert await story(client, run) == [
        "PENDING",
        "RUNNING",
        "a RUNNING",
        "INTERRUPTED",
        "RUNNING@2",
        "INTERRUPTED@2",
        "RUNNING@3",
        "a CANCELED",  # nobody goes on with it
        "a#2 RUNNING",
        "a#2 SUCCEEDED",
        "SUCCEEDED@3",
    ]
    assert (await get(client, run)).executor_id == "AMB-01"
