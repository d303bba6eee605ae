"""Rule 3: heartbeats keep a run while its code reports nothing."""

import asyncio
import json
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

from tests.support.executors import TASK_TYPE, at_work, order, story, until_renewed
from tests.support.steps import get, until
from tests.support.waiting import until_true
from vwed.client import Client, Executor, Run
from vwed_grpc.domain.lifecycle import SUCCEEDED
from vwed_grpc.server import serving
from vwed_grpc.settings import Settings


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


async def test_reports_spare_the_heartbeats(
    client: Client, settings: Settings, tenant: str, tmp_path: Path
) -> None:
    calls, rounds = tmp_path / "audit.log", 20

    async with serving(settings.model_copy(update={"audit_log": str(calls)})) as port:
        executor = Executor(f"127.0.0.1:{port}", "AMB-01", tenant=tenant, lease=1, grace=0)

        @executor.task(task_types=[TASK_TYPE])
        async def transport(run: Run) -> None:
            for n in range(rounds):
                async with run.block(f"b{n}", "move"):
                    await asyncio.sleep(0.05)

        await executor.run_once(await order(client))
    lines = [json.loads(line) for line in calls.read_text().splitlines()]
    heartbeats = sum(line["method"].endswith(".HeartbeatTaskRecord") for line in lines)
    renewed = [
        datetime.fromisoformat(line["time"])
        for line in lines
        if not line["method"].endswith(".HeartbeatTaskRecord")
    ]
    longest = max(later - earlier for earlier, later in pairwise(renewed))
    # After those of the beginning, of the run's and of its stream's, three are due in the time,
    # unless a busy machine kept the start, the reports and the end from following in time.
    assert heartbeats <= 2 or longest > timedelta(seconds=0.25)
