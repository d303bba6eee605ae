"""The RPCs of runs as resources."""

from dataclasses import dataclass

from google.protobuf.empty_pb2 import Empty
from vwed.v1.common_pb2 import View
from vwed.v1.record_service_pb2 import (
    BatchGetTaskRecordsRequest,
    BatchGetTaskRecordsResponse,
    CreateTaskRecordRequest,
    DeleteTaskRecordRequest,
    GetTaskRecordRequest,
    ListTaskRecordsRequest,
    ListTaskRecordsResponse,
    UpdateTaskRecordRequest,
)
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_record_pb2 import TaskRecord

from vwed_grpc.cache.keys import RUN_TTL, KeySpace
from vwed_grpc.cache.read_through import ReadThrough
from vwed_grpc.domain.config_tree import block_count
from vwed_grpc.domain.definition_status import require_enabled
from vwed_grpc.domain.errors import AlreadyExists, FailedPrecondition, InvalidArgument
from vwed_grpc.domain.field_mask import apply_mask, masked_fields
from vwed_grpc.domain.ids import new_id, require_id
from vwed_grpc.domain.lifecycle import OPEN, PENDING
from vwed_grpc.domain.run_input import complete_input
from vwed_grpc.domain.wire_pieces import copy_in_pieces
from vwed_grpc.loop.offload import offload
from vwed_grpc.rpc.call import Call
from vwed_grpc.rpc.validation import validate
from vwed_grpc.services.idempotent import idempotent
from vwed_grpc.services.listing import in_order, list_page, list_response
from vwed_grpc.storage import (
    block_records,
    definitions,
    events,
    present_runs,
    run_lists,
    run_tree,
    task_records,
)
from vwed_grpc.storage.pool import Pool, ReadingPool
from vwed_grpc.storage.task_records import Run
from vwed_grpc.storage.transaction import Transaction
from vwed_grpc.writes.commit import Committer, Effects
from vwed_grpc.writes.deletion import delete_runs
from vwed_grpc.writes.runs import RunChange

GIVEN = frozenset(
    {
        "id",
        "input",
        "priority",
        "external_id",
        "labels",
        "pinned",
        "parent_task_record_id",
        "parent_block_record_id",
    }
)
"""What the creator of a run may give, beside which definition it runs."""
MUTABLE = frozenset({"labels", "priority", "external_id", "pinned"})


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskRecords:
    live: ReadingPool
    bulk: ReadingPool
    figures: Pool
    cache: ReadThrough
    keys: KeySpace
    committer: Committer

    async def CreateTaskRecord(self, request: CreateTaskRecordRequest, call: Call) -> TaskRecord:
        given = request.task_record
        if not given.task_def_id and not given.task_def_name:
            raise InvalidArgument.of("task_record.task_def_id", "or task_def_name is required")
        if request.unique_external_id and not given.external_id:
            raise InvalidArgument.of(
                "task_record.external_id", "is required with unique_external_id"
            )

        work = idempotent(
            call,
            request,
            make=lambda tx, effects: _create(tx, effects, call, request=request),
            again=lambda tx, id_: _present(tx, call, id_),
        )
        return await self.committer.run(
            self.live, work, call.remaining, validate_only=request.validate_only
        )

    async def GetTaskRecord(self, request: GetTaskRecordRequest, call: Call) -> bytes:
        async def load() -> bytes | None:
            record = await task_records.get(self.live, call.tenant, request.id)
            return record.SerializeToString() if record else None

        key = self.keys.key("task_record", call.tenant, request.id)
        answer = await self.cache.get(key, RUN_TTL, load, strong=call.strong)
        if answer is None:
            raise task_records.missing(request.id)
        return answer

    async def BatchGetTaskRecords(self, request: BatchGetTaskRecordsRequest, call: Call) -> bytes:
        found = await run_lists.LISTING.batch(
            self.bulk,
            [task_records.c.tenant == call.tenant],
            request.ids,
            full=request.view == View.VIEW_FULL,
        )
        items = in_order(found, request.ids, task_records.missing)
        return await list_response(BatchGetTaskRecordsResponse(), "task_records", items)

    async def UpdateTaskRecord(self, request: UpdateTaskRecordRequest, call: Call) -> TaskRecord:
        given = request.task_record
        require_id(given.id, "task_record.id")

        async def work(tx: Transaction, effects: Effects) -> TaskRecord:
            run = await task_records.lock(tx, call.tenant, given.id, etag=given.etag)
            record = await offload(run.record.ByteSize(), copy_in_pieces, run.record)
            apply_mask(record, given, masked_fields(request.update_mask, given, MUTABLE))
            validate(record, "task_record")
            if request.unique_external_id:
                if not record.external_id:
                    raise InvalidArgument.of(
                        "task_record.external_id", "is required with unique_external_id"
                    )
                await present_runs.require_unique(
                    tx, call.tenant, record.external_id, but=record.id
                )
            if record == run.record:
                return record
            if record.labels != run.record.labels:
                await task_records.relabel(tx, call.tenant, record)
            run.record = record
            change = RunChange(tx, effects, call.tenant, run=run)
            return await change.write(call.actor, request.reason)

        return await self.committer.run(
            self.live, work, call.remaining, validate_only=request.validate_only
        )

    async def DeleteTaskRecord(self, request: DeleteTaskRecordRequest, call: Call) -> Empty:
        async def work(tx: Transaction, effects: Effects) -> Empty:
            run = await run_tree.lock_with_parent(
                tx, call.tenant, request.id, etag=request.etag, exclusive=True
            )
            if not request.force:
                await _require_deletable(tx, call, run.record)
            below = await run_tree.lock_below(tx, call.tenant, [request.id])
            deleted = {request.id: run.record}
            await delete_runs(
                tx,
                effects,
                call.tenant,
                deleted=deleted,
                below=below,
                actor=call.actor,
                reason=request.reason,
            )
            return Empty()

        return await self.committer.run(self.live, work, call.remaining)

    async def ListTaskRecords(self, request: ListTaskRecordsRequest, call: Call) -> bytes:
        listed = run_lists.listed(call.tenant, request.filter)
        page = await list_page(
            call,
            request,
            bulk=self.bulk,
            figures=self.figures,
            listing=listed.listing,
            where=listed.where,
            default_order="create_time desc",
            alternatives=listed.alternatives,
        )
        return await page.response(ListTaskRecordsResponse, "task_records")


async def _create(
    tx: Transaction, effects: Effects, call: Call, *, request: CreateTaskRecordRequest
) -> TaskRecord:
    given = request.task_record
    task_def = await _runnable(tx, call, given)
    record = TaskRecord()
    size = given.input.ByteSize()
    await offload(size, apply_mask, record, given, GIVEN)
    record.input.SetInParent()
    await offload(size, complete_input, task_def.config, record.input)
    record.id = given.id or new_id()
    record.task_def_id = task_def.id
    record.task_def_version = task_def.version
    record.task_def_name = task_def.name
    record.task_type = task_def.task_type
    record.status = PENDING
    record.attempt = 1
    record.created_by = call.actor
    record.root_task_record_id = await _root(tx, call, record)
    record.block_counts.total = block_count(task_def.config)
    if given.id and await events.exists(tx, call.tenant, given.id):
        raise AlreadyExists(
            "ID_TAKEN",
            f"there is, or was, a task_record {given.id!r}",
            metadata={"id": given.id},
        )
    if request.unique_external_id:
        await present_runs.require_unique(tx, call.tenant, given.external_id)
    run = Run(record, config_blocks=record.block_counts.total, run_seq=1)
    await RunChange(tx, effects, call.tenant, run=run).create(call.actor, request.reason)
    return record


async def _present(tx: Transaction, call: Call, id_: str) -> TaskRecord:
    return (await task_records.lock(tx, call.tenant, id_)).record


async def _require_deletable(tx: Transaction, call: Call, record: TaskRecord) -> None:
    """Without force: a final run that is not pinned, and has no runs below it."""
    for found, reason, what in (
        (record.status in OPEN, "RUN_IS_OPEN", "is open"),
        (record.pinned, "RUN_IS_PINNED", "is pinned"),
        (
            await present_runs.has_runs_below(tx, call.tenant, record.id),
            "RUNS_BELOW",
            "has runs below it",
        ),
    ):
        if found:
            raise FailedPrecondition(
                reason, f"run {record.id!r} {what}", metadata={"id": record.id}
            )


async def _runnable(tx: Transaction, call: Call, given: TaskRecord) -> TaskDef:
    """The definition at the version that is to run; it stays ENABLED while the run is created."""
    repository = definitions.task_defs
    id_ = given.task_def_id
    if given.task_def_name:
        named = await repository.named(tx, call.tenant, given.task_def_name)
        if named is None:
            raise repository.missing(given.task_def_name)
        if id_ and id_ != named:
            raise InvalidArgument.of(
                "task_record.task_def_name", "names another definition than task_def_id"
            )
        id_ = named
    task_def = await repository.pinned(tx, call.tenant, id_, version=given.task_def_version)
    if task_def is None:
        raise await repository.missing_at(tx, call.tenant, id_, version=given.task_def_version)
    require_enabled(task_def)
    return task_def


async def _root(tx: Transaction, call: Call, record: TaskRecord) -> str:
    """The top of the tree of runs that the new run joins. Raises NotFound for a missing parent."""
    parent, block = record.parent_task_record_id, record.parent_block_record_id
    if not parent:
        if block:
            raise InvalidArgument.of(
                "task_record.parent_block_record_id", "needs parent_task_record_id"
            )
        return record.id
    root = await task_records.lock_shared(tx, call.tenant, parent)
    if root is None:
        raise task_records.missing(parent)
    if block and not await block_records.look_up_ids(tx, call.tenant, [(parent, block)]):
        raise block_records.missing(block)
    return root
