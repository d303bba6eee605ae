"""The RPCs by which an executor takes a run, keeps it, and ends it."""

import asyncio
from dataclasses import dataclass

from vwed.v1.record_service_pb2 import (
    ClaimTaskRecordsRequest,
    ClaimTaskRecordsResponse,
    FinishTaskRecordRequest,
    HeartbeatTaskRecordRequest,
    ReleaseTaskRecordRequest,
    StartTaskRecordRequest,
)
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordStatus

from vwed_grpc.cache.keys import KeySpace
from vwed_grpc.domain import lifecycle
from vwed_grpc.domain.blocks import cut
from vwed_grpc.domain.errors import FailedPrecondition, InvalidArgument
from vwed_grpc.domain.field_mask import apply_mask
from vwed_grpc.domain.lifecycle import FINISH, HELD, Command, next_status
from vwed_grpc.loop.offload import offload
from vwed_grpc.rpc.call import Call
from vwed_grpc.services.run_changes import lock_run, move
from vwed_grpc.storage import rows
from vwed_grpc.storage.incarnation import changed
from vwed_grpc.storage.pool import Pool
from vwed_grpc.storage.transaction import Transaction
from vwed_grpc.watching.wakeups import Wakeups
from vwed_grpc.writes.claims import LOOK_AGAIN, Claim, Claims
from vwed_grpc.writes.commit import Committer, Effects
from vwed_grpc.writes.heartbeats import Heartbeats


@dataclass(frozen=True, kw_only=True, slots=True)
class ExecutorVerbs:
    urgent: Pool
    live: Pool
    committer: Committer
    claims: Claims
    heartbeats: Heartbeats
    wakeups: Wakeups
    keys: KeySpace

    async def ClaimTaskRecords(
        self, request: ClaimTaskRecordsRequest, call: Call
    ) -> ClaimTaskRecordsResponse:
        if request.filter.statuses:
            raise InvalidArgument.of("filter.statuses", "must be empty: claims look at what waits")
        loop = asyncio.get_running_loop()
        until = loop.time() + rows.span(request.wait).total_seconds()
        claim = Claim(request, call.actor, call.remaining)
        woken = asyncio.Event()
        channel = self.keys.key("claim", call.tenant)
        with self.wakeups.listen(channel, lambda _: woken.set()):
            while True:
                woken.clear()
                claimed = await self.claims.claim(call.tenant, claim)
                if claimed or until <= loop.time():
                    return ClaimTaskRecordsResponse(task_records=claimed)
                if channel != self.keys.key("claim", call.tenant):
                    raise changed()  # nobody would be heard there any more
                async with call.waiting():
                    await self._look_again(call.tenant, claim, woken, until=until)

    async def _look_again(
        self, tenant: str, claim: Claim, woken: asyncio.Event, *, until: float
    ) -> None:
        """Returns when there may be something to claim, or when its caller waits no more."""
        now = asyncio.get_running_loop().time
        while (left := until - now()) > 0:
            try:
                async with asyncio.timeout(min(left, LOOK_AGAIN)):
                    await woken.wait()
            except TimeoutError:
                if self.claims.is_look_due(tenant, claim):
                    return
            else:
                return

    async def StartTaskRecord(self, request: StartTaskRecordRequest, call: Call) -> TaskRecord:
        async def work(tx: Transaction, effects: Effects) -> TaskRecord:
            change = await lock_run(tx, effects, call, id_=request.id, etag=request.etag)
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

        return await self.committer.run(self.live, work, call.remaining)

    async def HeartbeatTaskRecord(self, request: HeartbeatTaskRecordRequest, call: Call) -> bytes:
        return await self.heartbeats.beat(call.tenant, request, call.remaining)

    async def ReleaseTaskRecord(self, request: ReleaseTaskRecordRequest, call: Call) -> TaskRecord:
        async def work(tx: Transaction, effects: Effects) -> TaskRecord:
            change = await lock_run(tx, effects, call, id_=request.id, etag=request.etag)
            lifecycle.check_fence(change.record, request)
            await move(change, Command.RELEASE, call, reason=request.reason)
            return change.record

        return await self.committer.run(self.live, work, call.remaining)

    async def FinishTaskRecord(self, request: FinishTaskRecordRequest, call: Call) -> TaskRecord:
        async def work(tx: Transaction, effects: Effects) -> TaskRecord:
            change = await lock_run(tx, effects, call, id_=request.id, etag=request.etag)
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

        return await self.committer.run(self.urgent, work, call.remaining)


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
