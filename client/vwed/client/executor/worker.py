"""What one process does with its runs, from the first claim to the last word."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from math import inf
from typing import Any, NoReturn

from vwed.v1.record_service_pb2 import GetTaskRecordRequest, StartTaskRecordRequest
from vwed.v1.task_record_event_pb2 import TaskRecordEvent
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordStatus

from vwed.client.connection import Client
from vwed.client.executor.claims import Claims
from vwed.client.executor.clock import ServiceClock, duration, now
from vwed.client.executor.control import follow
from vwed.client.executor.definitions import Definitions
from vwed.client.executor.notifier import Notifier
from vwed.client.executor.persistent_calls import PersistentCalls
from vwed.client.executor.process_parts import ProcessParts
from vwed.client.executor.retaking import STRONG
from vwed.client.executor.run_driver import RunDriver
from vwed.client.executor.stopping import StopReason
from vwed.client.executor.tasks import Task

log = logging.getLogger("vwed.executor")

_LEAST_SECONDS = 5.0
"""Last words are tried this long at least, or a whole lease."""


class Worker:
    def __init__(
        self,
        client: Client,
        tasks: Sequence[Task],
        *,
        executor_id: str,
        lease: float,
        concurrency: int,
    ) -> None:
        self._calls = PersistentCalls(longest_pause=lease / 6)
        self._executor_id = executor_id
        self._concurrency = concurrency
        self._client = client
        self._claims = Claims(
            client, self._calls, self, tasks, executor_id=executor_id, lease=lease
        )
        self._shared = ProcessParts(
            client=client,
            calls=self._calls,
            clock=ServiceClock(),
            definitions=Definitions(client, self._calls),
            lease=lease,
            claims_settled=self._claims.settled,
        )
        self._drives: set[RunDriver] = set()
        self._by_run: dict[str, RunDriver] = {}
        """Of each run the newest."""
        self._freed = Notifier()

    async def work(self, grace: float) -> NoReturn:
        """Claims runs and drives them, until cancelled.

        Then it lets them go on for `grace` seconds, and hands back what is not finished. Cancelled
        again, it leaves everything as it is.

        Raises CallError if the service refuses the executor's first claims for good.
        """
        claiming = asyncio.create_task(self._claims.claim())
        async with self._following():
            try:
                await asyncio.wait([claiming])
                claiming.result()
            finally:
                claiming.cancel()
                await asyncio.wait([claiming])
                await self._end(grace)
        raise AssertionError  # claims go on until they are cancelled, or refused

    async def drive_one(self, task: Task, run_id: str) -> TaskRecord:
        """Starts the run and drives it; answers it as it is then. Raises CallError."""
        request = StartTaskRecordRequest(
            id=run_id, executor_id=self._executor_id, lease=duration(self._shared.lease)
        )
        sent = now()
        record = await self._client.records.StartTaskRecord(request)
        async with self._following():
            drive = self.drive(task, record, sent)
            try:
                await asyncio.wait([drive.done])
                drive.done.result()
            finally:
                await self._end(grace=0)
        look = GetTaskRecordRequest(id=run_id)
        return await self._client.records.GetTaskRecord(look, metadata=STRONG)

    @asynccontextmanager
    async def _following(self) -> AsyncIterator[None]:
        following = asyncio.create_task(
            follow(
                self._client,
                self._calls,
                self._executor_id,
                see=self._see,
                begun=self._look_at_all,
            )
        )
        try:
            yield
        finally:
            following.cancel()
            for drive in self._drives:
                drive.done.cancel()
            await asyncio.wait([following, *(drive.done for drive in self._drives)])

    async def _end(self, grace: float) -> None:
        """Of a service that is away, it awaits the end of the leases: then others have the runs."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._claims.end())
            if self._drives:
                await asyncio.wait([drive.done for drive in self._drives], timeout=grace)
            for drive in self._drives:
                drive.stop(StopReason.RELEASED)
            least = now() + min(_LEAST_SECONDS, self._shared.lease)
            while self._drives:
                await self._end_one(least)

    async def _end_one(self, least: float) -> None:
        """Returns when something has become of one of the runs.

        Its code may take its time. What is said last is awaited until `least`, and for as long as
        the lease is renewed.
        """
        awaited: list[asyncio.Task[Any]] = []
        until = inf
        for drive in self._drives:
            awaited.append(drive.done)
            if not drive.code.done():
                awaited.append(drive.code)
            elif (end := max(least, drive.lease.until)) <= now():
                log.error("run %s: the service was away too long to be told", drive.record.id)
                drive.done.cancel()
            else:
                until = min(until, end)
        await asyncio.wait(
            awaited,
            timeout=None if until == inf else until - now(),
            return_when=asyncio.FIRST_COMPLETED,
        )

    # What claims bring.

    async def places(self) -> int:
        while len(self._drives) >= self._concurrency:
            await self._freed.wait()
        return self._concurrency - len(self._drives)

    def take(self, task: Task, record: TaskRecord, sent: float) -> None:
        if not self.adopt(record, sent):
            self.drive(task, record, sent)

    def adopt(self, record: TaskRecord, sent: float) -> bool:
        known = self._by_run.get(record.id)
        return known is not None and known.adopt(record, sent)

    def drive(self, task: Task, record: TaskRecord, sent: float) -> RunDriver:
        before = self._by_run.get(record.id)
        if before is not None:
            before.lose(StopReason.LEASE_LOST)  # others had the run in between
        log.info("run %s: taken, epoch %d", record.id, record.lease_epoch)
        drive = RunDriver(self._shared, task.work, record, sent, before)
        self._drives.add(drive)
        self._by_run[record.id] = drive
        drive.done.add_done_callback(lambda done: self._left(drive, done))
        return drive

    def _left(self, drive: RunDriver, done: asyncio.Task[None]) -> None:
        self._drives.discard(drive)
        if self._by_run.get(drive.record.id) is drive:
            del self._by_run[drive.record.id]
        if not done.cancelled() and (exc := done.exception()) is not None:
            log.error("run %s: left as it is", drive.record.id, exc_info=exc)
        else:
            status = TaskRecordStatus.Name(drive.record.status)
            log.info("run %s: %s", drive.record.id, status.removeprefix("TASK_RECORD_STATUS_"))
        self._freed.ring()

    def _look_at_all(self) -> None:
        for drive in self._drives:
            drive.look()

    def _see(self, event: TaskRecordEvent) -> None:
        drive = self._by_run.get(event.task_record_id)
        if drive is None:
            return
        if event.HasField("task_record"):
            drive.see(event.task_record)
        elif event.HasField("deleted"):
            drive.lose(StopReason.DELETED)
