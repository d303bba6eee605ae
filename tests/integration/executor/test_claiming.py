"""Rule 8: an executor takes as many runs as it has places for, each once, and loses none."""

import asyncio

import pytest
from vwed.v1.task_record_pb2 import TaskRecord

from tests.support.executors import TASK_TYPE, MakeExecutor, at_work, order, story
from tests.support.proxy import Proxy
from tests.support.steps import get, until
from tests.support.waiting import until_true
from vwed.client import Client, Executor, Run
from vwed_grpc.domain.lifecycle import INTERRUPTED, PENDING, RUNNING, SUCCEEDED


async def test_as_many_at_a_time_as_there_are_places(
    client: Client, target: str, tenant: str
) -> None:
    executor = Executor(target, "AMB-01", tenant=tenant, concurrency=3, grace=0)
    at_once = most = 0
    go = asyncio.Semaphore(0)

    @executor.task(task_types=[TASK_TYPE])
    async def transport(_: Run) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await go.acquire()
        at_once -= 1

    runs = [await order(client) for _ in range(7)]
    async with at_work(executor):
        await until_true(lambda: at_once == 3)
        waiting = [run for run in runs if (await get(client, run)).status == PENDING]
        assert waiting == runs[3:]  # they were taken in order
        go.release()
        await until_true(lambda: at_once == 3 and go.locked())
        for _ in runs:
            go.release()
        for run in runs:
            await until(client, run, SUCCEEDED)
    assert most == 3


async def test_each_task_has_the_runs_that_it_asks_for(client: Client, executor: Executor) -> None:
    driven = list[tuple[str, str]]()

    @executor.task(task_types=["transport", "park"])
    async def transport(run: Run) -> None:
        driven.append(("transport", run.id))

    @executor.task(task_types=["charge"])
    async def charge(run: Run) -> None:
        driven.append(("charge", run.id))

    of_others = await order(client, task_type="clean", priority=9)
    runs = [await order(client, task_type=kind) for kind in ("charge", "transport", "park")]
    async with at_work(executor):
        for run in runs:
            await until(client, run, SUCCEEDED)
        assert (await get(client, of_others)).status == PENDING
    assert driven == [("charge", runs[0]), ("transport", runs[1]), ("transport", runs[2])]


async def test_tasks_whose_filters_cannot_be_one(client: Client, executor: Executor) -> None:
    driven = set[str]()

    @executor.task(task_types=["charge"])
    async def charge(run: Run) -> None:
        driven.add(f"charge {run.id}")

    @executor.task(labels={"zone": "A"})
    async def in_zone(run: Run) -> None:
        driven.add(f"zone {run.id}")

    async with at_work(executor):
        first = await order(client, task_type="charge")
        second = await order(client, labels={"zone": "A"})
        other = await order(client, labels={"zone": "B"})
        await until(client, first, SUCCEEDED)
        await until(client, second, SUCCEEDED)
        assert (await get(client, other)).status == PENDING
    assert driven == {f"charge {first}", f"zone {second}"}


async def test_a_run_is_driven_by_the_task_that_it_was_claimed_for(
    client: Client, executor: Executor
) -> None:
    """Two ask for it; the first that was declared has it."""
    driven = list[str]()

    @executor.task(task_types=["charge"])
    async def first(_: Run) -> None:
        driven.append("first")

    @executor.task(task_types=["charge", "park"])
    async def second(_: Run) -> None:
        driven.append("second")

    async with at_work(executor):
        await until(client, await order(client, task_type="charge"), SUCCEEDED)
        await until(client, await order(client, task_type="park"), SUCCEEDED)
    assert driven == ["first", "second"]


async def test_a_claim_whose_answer_was_lost_gives_the_same_run(
    client: Client, behind_proxy: MakeExecutor, proxy: Proxy
) -> None:
    executor, driven = behind_proxy(), list[TaskRecord]()

    @executor.task(task_types=[TASK_TYPE])
    async def transport(run: Run) -> None:
        driven.append(run.record)

    async with at_work(executor):
        await until(client, await order(client), SUCCEEDED)  # it waits for the next one soon
        proxy.hold_answers()
        run = await order(client)
        await until(client, run, RUNNING)
        await proxy.cut()
        proxy.thaw()
        await until(client, run, SUCCEEDED)
    assert [record.lease_epoch for record in driven] == [1, 1]
    assert await story(client, run) == ["PENDING", "RUNNING", "SUCCEEDED"]


@pytest.mark.parametrize("lost", [False, True], ids=["late", "lost"])
async def test_what_the_last_claim_took_is_handed_back(
    client: Client, behind_proxy: MakeExecutor, proxy: Proxy, lost: bool
) -> None:
    """It was told to stop while a claim was under way whose answer it did not have yet."""
    executor, driven = behind_proxy(), list[str]()

    @executor.task(task_types=[TASK_TYPE])
    async def transport(run: Run) -> None:
        driven.append(run.id)

    async with at_work(executor) as serving:
        first = await order(client)
        await until(client, first, SUCCEEDED)
        proxy.hold_answers()
        run = await order(client)
        await until(client, run, RUNNING)
        serving.cancel()
        await asyncio.sleep(0)
        if lost:
            await proxy.cut()
        proxy.thaw()
        await asyncio.wait([serving])
        assert (await get(client, run, strong=True)).status == INTERRUPTED
    assert driven == [first]
    assert await story(client, run) == ["PENDING", "RUNNING", "INTERRUPTED"]
