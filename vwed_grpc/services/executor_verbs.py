"""The RPCs by which an executor takes a run, keeps it, and ends it."""

import asyncio
from contextlib import suppress
from datetime import timedelta

from vwed.v1.record_service_pb2 import (
    ClaimTaskRecordsRequest,
    ClaimTaskRecordsResponse,
    FinishTaskRecordRequest,
    HeartbeatTaskRecordRequest,
    StartTaskRecordRequest,
)
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordStatus

from vwed_grpc.domain import lifecycle
from vwed_grpc.domain.blocks import cut
from vwed_grpc.domain.errors import FailedPrecondition, InvalidArgument, NotFound
from vwed_grpc.domain.lifecycle import FINISH, HELD, Command, next_status
from vwed_grpc.progress.commit import Effects
from vwed_grpc.progress.runs import RunChange
from vwed_grpc.rpc.call import Call
from vwed_grpc.services.run_servicer import RunServicer
from vwed_grpc.storage import idempotency, rows, task_records
from vwed_grpc.storage.database import Transaction
from vwed_grpc.storage.listing import MAX_PAGE_BYTES

CLAIM_LEASE = timedelta(seconds=60)
"""What a claim without a lease gets."""
_LOOK_AGAIN = 1.0
"""Seconds after which a waiting claim looks for itself: its wake-up may have been lost."""


class ExecutorVerbs(RunServicer):
    async def ClaimTaskRecords(
        self, request: ClaimTaskRecordsRequest, call: Call
    ) -> ClaimTaskRecordsResponse:
        if request.filter.statuses:
            raise InvalidArgument.of("filter.statuses", "must be empty: claims look at what waits")
        loop = asyncio.get_running_loop()
        until = loop.time() + rows.span(request.wait).total_seconds()
        woken = asyncio.Event()
        channel = self.backend.keys.key("claim", call.tenant)
        with self.backend.wakeups.listen(channel, lambda _: woken.set()):
            while True:
                woken.clear()
                claimed = await self.write(call, lambda tx, fx: _claim(tx, fx, request, call))
                left = until - loop.time()
                if claimed or left <= 0:
                    return ClaimTaskRecordsResponse(task_records=claimed)
                try:
                    async with asyncio.timeout(min(left, _LOOK_AGAIN)):
                        await woken.wait()
                except TimeoutError:
                    pass

    async def StartTaskRecord(self, request: StartTaskRecordRequest, call: Call) -> TaskRecord:
        async def work(tx: Transaction, effects: Effects) -> TaskRecord:
            change = await self.lock_run(tx, effects, call, request.id, request.etag)
            if change.lease_ran_out():
                await change.expire()
            record = change.record
            status = None
            if record.status not in HELD:
                status = next_status(Command.START, record.status)
            elif record.executor_id != request.executor_id:
                raise FailedPrecondition(
                    "RUN_TAKEN",
                    f"executor {record.executor_id!r} has the run",
                    metadata={"executor_id": record.executor_id},
                )
            change.take(request.executor_id, rows.span(request.lease))
            return await change.write(call.actor, request.reason, status)

        return await self.write(call, work)

    async def HeartbeatTaskRecord(
        self, request: HeartbeatTaskRecordRequest, call: Call
    ) -> TaskRecord:
        async def work(tx: Transaction, effects: Effects) -> TaskRecord:
            change = await self.lock_run(tx, effects, call, request.id, request.etag)
            record = change.record
            lifecycle.holds(record, request.executor_id, request.lease_epoch)
            if change.lease_ran_out():
                await change.expire()
            elif record.status in HELD:
                change.renew()
                record.message = request.message or record.message
                record.robot_id = request.robot_id or record.robot_id
                await task_records.save(tx, call.tenant, change.run, new_etag_too=False)
                effects.run_changed(call.tenant, record.id)
            return record

        return await self.write(call, work)

    async def FinishTaskRecord(self, request: FinishTaskRecordRequest, call: Call) -> TaskRecord:
        async def work(tx: Transaction, effects: Effects) -> TaskRecord:
            change = await self.lock_run(tx, effects, call, request.id, request.etag)
            record = change.record
            lifecycle.holds(record, request.executor_id, request.lease_epoch)
            if record.status == request.status:
                _same_end(record, request)
                return record
            status = next_status(FINISH[request.status], record.status)
            if request.HasField("result"):
                record.result.CopyFrom(request.result)
            record.error_message = cut(request.error_message)
            record.error_code = request.error_code
            return await change.write(
                call.actor, request.reason, status, result_set=request.HasField("result")
            )

        return await self.write(call, work)


async def _claim(
    tx: Transaction, effects: Effects, request: ClaimTaskRecordsRequest, call: Call
) -> list[TaskRecord]:
    """Takes what waits now, or what this very request took before."""
    if request.request_id:
        ids = await idempotency.recall(tx, call.tenant, request.request_id, request)
        if ids:
            return await _taken_before(tx, call, ids)
    if request.include_interrupted:
        for run in await task_records.lock_expired(tx, call.tenant):
            await RunChange(tx, effects, call.tenant, run).expire()
    lease = rows.span(request.lease) if request.HasField("lease") else CLAIM_LEASE
    claimed: list[TaskRecord] = []
    room = MAX_PAGE_BYTES
    for run in await task_records.claim(
        tx,
        call.tenant,
        request.filter,
        request.max_count or 1,
        interrupted=request.include_interrupted,
    ):
        room -= run.record.ByteSize()
        if room < 0 and claimed:
            break  # no answer could hold it: it waits for the next claim
        change = RunChange(tx, effects, call.tenant, run)
        change.take(request.executor_id, lease)
        status = next_status(Command.START, run.record.status)
        claimed.append(await change.write(call.actor, request.reason, status))
    if request.request_id and claimed:
        await idempotency.remember(
            tx, call.tenant, request.request_id, [record.id for record in claimed]
        )
    return claimed


async def _taken_before(tx: Transaction, call: Call, ids: list[str]) -> list[TaskRecord]:
    """What has become of the runs; of one that was deleted, nothing, and the others still count."""
    records = []
    for id_ in ids:
        with suppress(NotFound):
            records.append((await task_records.lock(tx, call.tenant, id_)).record)
    return records


def _same_end(record: TaskRecord, request: FinishTaskRecordRequest) -> None:
    """A Finish that came again. Raises FailedPrecondition if it says something else."""
    same = (
        record.error_message == cut(request.error_message)
        and record.error_code == request.error_code
        and record.result == request.result
    )
    if not same:
        raise FailedPrecondition(
            "RUN_IS_FINAL",
            "the run has ended with other content",
            metadata={"status": TaskRecordStatus.Name(record.status)},
        )
