"""The RPCs by which people and other systems steer a run."""

from dataclasses import dataclass

from vwed.v1.record_service_pb2 import (
    CancelTaskRecordRequest,
    PauseTaskRecordRequest,
    ResumeTaskRecordRequest,
    RetryTaskRecordRequest,
    SignalTaskRecordRequest,
)
from vwed.v1.task_record_event_pb2 import TaskRecordSignal
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordStatus

from vwed_grpc.domain import lifecycle
from vwed_grpc.domain.config_tree import block_count
from vwed_grpc.domain.definition_status import require_enabled
from vwed_grpc.domain.errors import FailedPrecondition, InvalidArgument
from vwed_grpc.domain.field_mask import apply_mask
from vwed_grpc.domain.ids import new_id
from vwed_grpc.domain.lifecycle import CANCELED, FAILED, PENDING, Command
from vwed_grpc.domain.run_input import complete_input
from vwed_grpc.loop.offload import offload
from vwed_grpc.rpc.call import Call
from vwed_grpc.services.idempotent import idempotent
from vwed_grpc.services.run_changes import lock_run, move
from vwed_grpc.storage import block_records, definitions, present_runs, run_tree, task_records
from vwed_grpc.storage.chunks import chunks
from vwed_grpc.storage.pool import Pool
from vwed_grpc.storage.task_records import Run
from vwed_grpc.storage.transaction import Transaction
from vwed_grpc.writes.commit import Committer, Effects
from vwed_grpc.writes.retry import copy_work
from vwed_grpc.writes.runs import RunChange

SIGNAL_BYTES = 64 * 1024
"""Of a signal's payload on the wire."""
_CANCELED_AT_ONCE = 50
"""Runs that a cascade has in memory."""
_INHERITED = frozenset(
    {
        "input",
        "priority",
        "external_id",
        "labels",
        "parent_task_record_id",
        "parent_block_record_id",
        "root_task_record_id",
    }
)
"""What a retry takes over from the run that it retries."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OperatorVerbs:
    live: Pool
    committer: Committer

    async def PauseTaskRecord(self, request: PauseTaskRecordRequest, call: Call) -> TaskRecord:
        async def work(tx: Transaction, effects: Effects) -> TaskRecord:
            change = await lock_run(tx, effects, call, id_=request.id, etag=request.etag)
            holder = lifecycle.check_fence(change.record, request)
            command = Command.PAUSE_BY_HOLDER if holder else Command.PAUSE
            await move(change, command, call, reason=request.reason)
            return change.record

        return await self.committer.run(self.live, work, call.remaining)

    async def ResumeTaskRecord(self, request: ResumeTaskRecordRequest, call: Call) -> TaskRecord:
        async def work(tx: Transaction, effects: Effects) -> TaskRecord:
            change = await lock_run(tx, effects, call, id_=request.id, etag=request.etag)
            await move(change, Command.RESUME, call, reason=request.reason)
            return change.record

        return await self.committer.run(self.live, work, call.remaining)

    async def CancelTaskRecord(self, request: CancelTaskRecordRequest, call: Call) -> TaskRecord:
        command = Command.FORCE_CANCEL if request.force else Command.CANCEL

        async def work(tx: Transaction, effects: Effects) -> TaskRecord:
            cascade = request.cascade
            run = await task_records.lock(
                tx, call.tenant, request.id, etag=request.etag, exclusive=cascade
            )
            change = RunChange(tx, effects, call.tenant, run=run)
            if not (cascade and run.record.status in lifecycle.FINAL):
                await move(change, command, call, reason=request.reason)
            if cascade:
                below = await run_tree.lock_below(tx, call.tenant, [request.id])
                open_ = (id_ for id_, found in below.items() if found.status in lifecycle.OPEN)
                for ids in chunks(open_, _CANCELED_AT_ONCE):
                    for run in await task_records.lock_all(tx, call.tenant, ids):
                        one = RunChange(tx, effects, call.tenant, run=run)
                        await move(one, command, call, reason=request.reason)
            return change.record

        return await self.committer.run(self.live, work, call.remaining)

    async def RetryTaskRecord(self, request: RetryTaskRecordRequest, call: Call) -> TaskRecord:
        work = idempotent(
            call,
            request,
            make=lambda tx, effects: _retry(tx, effects, call, request=request),
            again=lambda tx, made: _done_before(tx, call, request, made=made),
        )
        return await self.committer.run(self.live, work, call.remaining)

    async def SignalTaskRecord(self, request: SignalTaskRecordRequest, call: Call) -> TaskRecord:
        if request.payload.ByteSize() > SIGNAL_BYTES:
            raise InvalidArgument.of("payload", f"must be at most {SIGNAL_BYTES} bytes")

        async def signal(tx: Transaction, effects: Effects) -> TaskRecord:
            change = await lock_run(tx, effects, call, id_=request.id, etag=request.etag)
            block = request.block_record_id
            if block and not await block_records.look_up_ids(
                tx, call.tenant, [(request.id, block)]
            ):
                raise block_records.missing(block)
            if change.record.status in lifecycle.FINAL:
                raise FailedPrecondition(
                    "RUN_IS_FINAL",
                    "nobody listens to a run that has ended",
                    metadata={"status": TaskRecordStatus.Name(change.record.status)},
                )
            return await change.signal(
                TaskRecordSignal(
                    name=request.name,
                    block_record_id=block,
                    payload=request.payload if request.HasField("payload") else None,
                ),
                call.actor,
                request.reason,
            )

        work = idempotent(
            call,
            request,
            make=signal,
            again=lambda tx, made: _done_before(tx, call, request, made=made),
        )
        return await self.committer.run(self.live, work, call.remaining)


async def _retry(
    tx: Transaction, effects: Effects, call: Call, *, request: RetryTaskRecordRequest
) -> TaskRecord:
    from_failure = request.mode == RetryTaskRecordRequest.MODE_FROM_FAILURE
    old = await run_tree.lock_with_parent(
        # While its data cache is copied nobody is to write there.
        tx,
        call.tenant,
        request.id,
        etag=request.etag,
        exclusive=from_failure,
    )
    if old.record.status not in {FAILED, CANCELED}:
        raise lifecycle.illegal_transition(old.record.status, PENDING)
    chain = old.retry_chain or old.record.id
    if (other := await present_runs.open_in_chain(tx, call.tenant, chain)) is not None:
        raise FailedPrecondition("RETRY_OPEN", f"retry {other!r} is open", metadata={"id": other})
    if request.unique_external_id:
        if not old.record.external_id:
            raise InvalidArgument.of("unique_external_id", "needs a run with an external_id")
        await present_runs.require_unique(tx, call.tenant, old.record.external_id)
    version = request.task_def_version or old.record.task_def_version
    task_def = await definitions.task_defs.pinned(
        tx, call.tenant, old.record.task_def_id, version=version
    )
    if task_def is None:
        raise await definitions.task_defs.missing_at(
            tx, call.tenant, old.record.task_def_id, version=version
        )
    require_enabled(task_def)
    record = TaskRecord(
        id=new_id(),
        task_def_id=task_def.id,
        task_def_version=version,
        task_def_name=task_def.name,
        task_type=task_def.task_type,
        status=PENDING,
        attempt=old.record.attempt + 1,
        retry_of=old.record.id,
        created_by=call.actor,
    )
    size = old.record.input.ByteSize()
    await offload(size, apply_mask, record, old.record, _INHERITED)
    record.input.SetInParent()
    await offload(size, complete_input, task_def.config, record.input, "input")
    if not old.record.parent_task_record_id:
        record.root_task_record_id = record.id
    run = Run(record, config_blocks=block_count(task_def.config), run_seq=1, retry_chain=chain)
    record.block_counts.total = run.config_blocks
    change = RunChange(tx, effects, call.tenant, run=run)
    await change.create(call.actor, request.reason)
    if from_failure:
        await copy_work(change, old.record.id, call.actor, reason=request.reason)
    return record


async def _done_before(
    tx: Transaction,
    call: Call,
    request: RetryTaskRecordRequest | SignalTaskRecordRequest,
    *,
    made: str,
) -> TaskRecord:
    """The present state of what the request came to; an etag is compared every time."""
    if request.etag:
        await task_records.lock(tx, call.tenant, request.id, etag=request.etag)
    return (await task_records.lock(tx, call.tenant, made)).record
