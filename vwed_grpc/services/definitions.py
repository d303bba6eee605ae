"""The RPCs of task definitions."""

from dataclasses import dataclass

from vwed.v1.common_pb2 import View
from vwed.v1.task_def_pb2 import TaskDef, TaskDefStatus
from vwed.v1.task_def_service_pb2 import (
    BatchGetTaskDefsRequest,
    BatchGetTaskDefsResponse,
    CreateTaskDefRequest,
    DeleteTaskDefRequest,
    DisableTaskDefRequest,
    EnableTaskDefRequest,
    GetTaskDefRequest,
    ListTaskDefsRequest,
    ListTaskDefsResponse,
    UndeleteTaskDefRequest,
    UpdateTaskDefRequest,
)

from vwed_grpc.domain.config_tree import config_problems
from vwed_grpc.domain.definition_status import DISABLED, ENABLED, FIRST, require_step
from vwed_grpc.domain.errors import FailedPrecondition, InvalidArgument, Violation
from vwed_grpc.domain.field_mask import apply_mask
from vwed_grpc.domain.ids import require_id
from vwed_grpc.loop.offload import offload
from vwed_grpc.rpc.call import Call
from vwed_grpc.services.definition_reads import DefinitionReads
from vwed_grpc.services.idempotent import idempotent
from vwed_grpc.services.listing import in_order, list_response
from vwed_grpc.services.versioned import Versioned
from vwed_grpc.storage import definition_lists, definitions, present_runs
from vwed_grpc.storage.pool import ReadingPool
from vwed_grpc.storage.transaction import Transaction
from vwed_grpc.writes.commit import Committer, Effects

CONTENT = frozenset({"name", "description", "task_type", "config", "labels"})
CREATED = CONTENT | {"id", "status", "change_note"}
"""What the creator of a definition may give."""


async def _problems(task_def: TaskDef, path: str) -> list[Violation]:
    config = task_def.config
    return await offload(config.ByteSize(), config_problems, config, f"{path}.config")


TASK_DEFS = Versioned(definitions.task_defs, content=CONTENT, problems=_problems)


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskDefs:
    bulk: ReadingPool
    committer: Committer
    reads: DefinitionReads

    async def CreateTaskDef(self, request: CreateTaskDefRequest, call: Call) -> TaskDef:
        given = TaskDef()
        await offload(request.task_def.ByteSize(), apply_mask, given, request.task_def, CREATED)
        set_first_status(given)
        await TASK_DEFS.check(given, "task_def")

        work = idempotent(
            call,
            request,
            make=lambda tx, effects: TASK_DEFS.create(tx, effects, call, given=given),
            again=lambda tx, id_: definitions.task_defs.lock(tx, call.tenant, id_),
        )
        return await self.committer.run(
            self.bulk, work, call.remaining, validate_only=request.validate_only
        )

    async def GetTaskDef(self, request: GetTaskDefRequest, call: Call) -> bytes:
        return await self.reads.get(
            definitions.task_defs, call, request.id, version=request.version
        )

    async def BatchGetTaskDefs(self, request: BatchGetTaskDefsRequest, call: Call) -> bytes:
        found = await definition_lists.by_id(definitions.task_defs).batch(
            self.bulk,
            [definitions.task_defs.heads.c.tenant == call.tenant],
            request.ids,
            full=request.view == View.VIEW_FULL,
        )
        items = in_order(found, request.ids, definitions.task_defs.missing)
        return await list_response(BatchGetTaskDefsResponse(), "task_defs", items)

    async def ListTaskDefs(self, request: ListTaskDefsRequest, call: Call) -> bytes:
        page = await self.reads.list(definitions.task_defs, call, request)
        return await page.response(ListTaskDefsResponse, "task_defs")

    async def UpdateTaskDef(self, request: UpdateTaskDefRequest, call: Call) -> TaskDef:
        require_id(request.task_def.id, "task_def.id")

        async def work(tx: Transaction, effects: Effects) -> TaskDef:
            return await TASK_DEFS.update(
                tx, effects, call, given=request.task_def, mask=request.update_mask
            )

        return await self.committer.run(
            self.bulk, work, call.remaining, validate_only=request.validate_only
        )

    async def DeleteTaskDef(self, request: DeleteTaskDefRequest, call: Call) -> TaskDef:
        async def work(tx: Transaction, effects: Effects) -> TaskDef:
            task_def = await TASK_DEFS.live(tx, call, request.id, etag=request.etag)
            if not request.force and await present_runs.open_of(tx, call.tenant, request.id):
                raise FailedPrecondition(
                    "OPEN_RUNS",
                    f"task_def {request.id!r} has open runs",
                    metadata={"id": request.id},
                )
            return await TASK_DEFS.delete(tx, effects, call, message=task_def)

        task_def = await self.committer.run(self.bulk, work, call.remaining)
        TASK_DEFS.note(call, "deleted", request)
        return task_def

    async def UndeleteTaskDef(self, request: UndeleteTaskDefRequest, call: Call) -> TaskDef:
        async def work(tx: Transaction, effects: Effects) -> TaskDef:
            return await TASK_DEFS.undelete(tx, effects, call, request=request)

        task_def = await self.committer.run(self.bulk, work, call.remaining)
        TASK_DEFS.note(call, "undeleted", request)
        return task_def

    async def EnableTaskDef(self, request: EnableTaskDefRequest, call: Call) -> TaskDef:
        return await self._become(ENABLED, request, call)

    async def DisableTaskDef(self, request: DisableTaskDefRequest, call: Call) -> TaskDef:
        return await self._become(DISABLED, request, call)

    async def _become(
        self,
        status: TaskDefStatus.ValueType,
        request: EnableTaskDefRequest | DisableTaskDefRequest,
        call: Call,
    ) -> TaskDef:
        """The same asked again answers the present state."""

        async def work(tx: Transaction, effects: Effects) -> TaskDef:
            task_def = await TASK_DEFS.live(tx, call, request.id, etag=request.etag)
            if task_def.status == status:
                return task_def
            require_step(task_def.status, status)
            task_def.status = status
            return await TASK_DEFS.keep_content(tx, effects, call, message=task_def)

        task_def = await self.committer.run(self.bulk, work, call.remaining)
        TASK_DEFS.note(call, "enabled" if status == ENABLED else "disabled", request)
        return task_def


def set_first_status(task_def: TaskDef) -> None:
    """On create DRAFT or ENABLED, unset means ENABLED."""
    task_def.status = task_def.status or ENABLED
    if task_def.status not in FIRST:
        raise InvalidArgument.of("task_def.status", "must be DRAFT or ENABLED on create")
