"""Rule 3: heartbeats keep a run while its code reports nothing."""

import asyncio

from vwed.client import Client, Executor, Run

from tests.support.executors import TASK_TYPE, at_work, order, story, until_renewed
from tests.support.steps import get, until
from tests.support.waiting import until_true
from vwed_grpc.domain.lifecycle import SUCCEEDED


async def test_a_run_without_reports_keeps_its_lease(
    client: Client, target: str, tenant: str
) -> None:
    executor, end = Executor(target, "AMB-01", tenant=tenant, lease=1, grace=0), asyncio.Event()

    @executor.task(task_types=[TASK_TYPE])
    async def transport(_: Run) -> None:
        await end.wait()

    async with at_work(executor):
        run = await order(client)
        await until_renewed(client, run, times=2)
        end.set()
        await until(client, run, SUCCEEDED)
    assert await story(client, run) == ["PENDING", "RUNNING", "SUCCEEDED"]


async def test_heartbeats_say_which_robot_and_what_it_does(
    client: Client, target: str, tenant: str
) -> None:
    executor, end = Executor(target, "AMB-01", tenant=tenant, lease=1, grace=0), asyncio.Event()

    @executor.task(task_types=[TASK_TYPE])
    async def transport(run: Run) -> None:
        run.robot_id = "叉车-07"
        run.message = "在充电"
        await end.wait()

    async with at_work(executor):
        run = await order(client)

        async def told() -> bool:
            record = await get(client, run, strong=True)
            return (record.robot_id, record.message) == ("叉车-07", "在充电")

        await until_true(told)
        end.set()
        await until(client, run, SUCCEEDED)
