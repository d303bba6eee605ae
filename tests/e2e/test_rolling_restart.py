"""Two replicas that are restarted one after the other under load: whoever retries as documented
notices nothing."""

import asyncio
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

from vwed.v1.block_record_pb2 import BlockRecordStatus
from vwed.v1.common_pb2 import View
from vwed.v1.record_service_pb2 import (
    CreateTaskRecordRequest,
    FinishTaskRecordRequest,
    GetTaskRecordRequest,
    HeartbeatTaskRecordRequest,
    ReportBlocksRequest,
    StartTaskRecordRequest,
)
from vwed.v1.task_record_event_pb2 import TaskRecordEvent
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordStatus

from tests.support.calls import create_def
from tests.support.databases import migrated_database
from tests.support.replicas import replica
from tests.support.steps import block, history, seconds
from tests.support.waiting import until_true
from vwed.client import Client, connect, watch_run, watch_runs

EXECUTORS = 6
BLOCKS = 3
STEPS = (
    BlockRecordStatus.BLOCK_RECORD_STATUS_RUNNING,
    BlockRecordStatus.BLOCK_RECORD_STATUS_SUCCEEDED,
)


class Fleet:
    """Executors, a watcher for each run, and one who watches all runs."""

    def __init__(self, client: Client, task_def_id: str) -> None:
        self.follows = asyncio.Event()
        """Whoever watches all runs has begun: of runs made before, the states alone are told."""
        self.over = asyncio.Event()
        self.watched: dict[str, list[TaskRecordEvent]] = {}
        """Of each run that is done, what its watcher was given."""
        self.fed: dict[str, dict[int, TaskRecordEvent]] = defaultdict(dict)
        """What the watcher of all runs was given, by run and seq."""
        self._client = client
        self._task_def_id = task_def_id

    async def execute(self) -> None:
        while not self.over.is_set():
            run = await self._begin()
            watching = asyncio.create_task(self._watch(run))
            await self._work(run)
            self.watched[run] = await watching

    async def _begin(self) -> str:
        create = CreateTaskRecordRequest(task_record=TaskRecord(task_def_id=self._task_def_id))
        return (await self._client.records.CreateTaskRecord(create)).id

    async def _work(self, run: str) -> None:
        records = self._client.records
        start = StartTaskRecordRequest(id=run, executor_id=run, lease=seconds(60))
        fence: dict[str, Any] = {
            "executor_id": run,
            "lease_epoch": (await records.StartTaskRecord(start)).lease_epoch,
        }
        for n in range(BLOCKS):
            for status in STEPS:
                report = ReportBlocksRequest(
                    task_record_id=run, block_records=[block(f"b-{n}", status)], **fence
                )
                await records.ReportBlocks(report)
            await records.HeartbeatTaskRecord(HeartbeatTaskRecordRequest(id=run, **fence))
            found = await records.GetTaskRecord(GetTaskRecordRequest(id=run))
            assert found.block_counts.succeeded == n + 1
        finish = FinishTaskRecordRequest(
            id=run, status=TaskRecordStatus.TASK_RECORD_STATUS_SUCCEEDED, **fence
        )
        await records.FinishTaskRecord(finish)

    async def _watch(self, run: str) -> list[TaskRecordEvent]:
        events = watch_run(self._client, run, after_seq=0, view=View.VIEW_FULL)
        return [event async for event in events]

    def was_fed(self, run: str, seq: int) -> bool:
        return seq in self.fed[run]

    async def follow_all(self) -> None:
        """Until cancelled; nothing comes twice, though each restart breaks it off."""
        async for message in watch_runs(self._client, include_blocks=True, view=View.VIEW_FULL):
            self.follows.set()
            for event in message.events:
                assert event.seq not in self.fed[event.task_record_id]
                self.fed[event.task_record_id][event.seq] = event


async def test_no_call_fails_and_no_event_is_lost_or_repeated(
    postgres_url: str, redis_url: str, tmp_path: Path
) -> None:
    with migrated_database(postgres_url) as url:
        async with (
            replica(url, redis_url, tmp_path / "0.log") as one,
            replica(url, redis_url, tmp_path / "1.log") as other,
            connect(f"ipv4:{one.target},{other.target}", tenant="plant") as client,
        ):
            fleet = Fleet(client, (await create_def(client)).id)

            async def work_goes_on() -> None:
                target = len(fleet.watched) + 2 * EXECUTORS
                await until_true(lambda: len(fleet.watched) >= target, what="the next runs")

            async with asyncio.TaskGroup() as tasks:
                following = tasks.create_task(fleet.follow_all())
                await fleet.follows.wait()
                executors = [tasks.create_task(fleet.execute()) for _ in range(EXECUTORS)]
                await work_goes_on()
                for server in (one, other):
                    await asyncio.to_thread(server.stop)
                    await work_goes_on()
                    await server.start()
                    await work_goes_on()
                fleet.over.set()
                await asyncio.wait(executors)
                for run, events in fleet.watched.items():
                    stored = await history(client, run)
                    assert events == stored
                    await until_true(partial(fleet.was_fed, run, stored[-1].seq))
                    assert [*fleet.fed[run].values()] == stored
                following.cancel()
            assert not one.faults() + other.faults()
