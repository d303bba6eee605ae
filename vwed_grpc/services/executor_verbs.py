"""The RPCs by which an executor takes a run, keeps it, and ends it."""

import asyncio

from vwed.v1.record_service_pb2 import (
    ClaimTaskRecordsRequest,
    ClaimTaskRecordsResponse,
    FinishTaskRecordRequest,
    HeartbeatTaskRecordRequest,
    ReleaseTaskRecordRequest,
    StartTaskRecordRequest,
)
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordStatus

from vwed_grpc.domain import lifecycle
from vwed_grpc.domain.blocks import cut
from vwed_grpc.domain.errors import FailedPrecondition, InvalidArgument
from vwed_grpc.domain.field_mask import apply_mask
from vwed_grpc.domain.lifecycle import FINISH, HELD, Command, next_status
from vwed_grpc.rpc.call import Call
from vwed_grpc.rpc.offload import offload
from vwed_grpc.services.run_servicer import RunServicer, move
from vwed_grpc.storage import rows, task_records
from vwed_grpc.storage.transaction import Transaction
from vwed_grpc.writes.claims import Claim
from vwed_grpc.writes.commit import Effects

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
        claim = Claim(request, call.actor, call.remaining)
        woken = asyncio.Event()
        channel = self.backend.keys.key("claim", call.tenant)
        with self.backend.wakeups.listen(channel, lambda _: woken.set()):
            while True:
                woken.clear()
                claimed = await self.backend.claims.claim(call.tenant, claim)
                left = until - loop.time()
                if claimed or left <= 0:
                    return ClaimTaskRecordsResponse(task_records=claimed)
                async with call.waiting():
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
            holder = lifecycle.check_fence(record, request)
            if change.lease_ran_out():
                await change.expire()
            elif record.status in HELD and (holder or request.message or request.robot_id):
                if holder:
                    change.renew()
                record.message = request.message or record.message
                record.robot_id = request.robot_id or record.robot_id
                await task_records.save(tx, call.tenant, change.run, new_etag_too=False)
                effects.run_changed(call.tenant, record.id)
            return record

        return await self.write(call, work)

    async def ReleaseTaskRecord(self, request: ReleaseTaskRecordRequest, call: Call) -> TaskRecord:
        async def work(tx: Transaction, effects: Effects) -> TaskRecord:
            change = await self.lock_run(tx, effects, call, request.id, request.etag)
            lifecycle.check_fence(change.record, request)
            await move(change, Command.RELEASE, call, request.reason)
            return change.record

        return await self.write(call, work)

    async def FinishTaskRecord(self, request: FinishTaskRecordRequest, call: Call) -> TaskRecord:
        async def work(tx: Transaction, effects: Effects) -> TaskRecord:
            change = await self.lock_run(tx, effects, call, request.id, request.etag)
            record = change.record
            lifecycle.check_fence(record, request)
            if record.status == request.status:
                _same_end(record, request)
                return record
            status = next_status(FINISH[request.status], record.status)
            if request.HasField("result"):
                size = request.result.ByteSize()
                await offload(size, apply_mask, record, request, {"result"})
            record.error_message = cut(request.error_message)
            record.error_code = request.error_code
            return await change.write(
                call.actor, request.reason, status, result_set=request.HasField("result")
            )

        return await self.write(call, work)


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
