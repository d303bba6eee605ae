"""The RPCs of task definitions."""

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
from vwed_grpc.rpc.call import Call
from vwed_grpc.rpc.offload import offload
from vwed_grpc.services.backend import (
    Backend,
    Servicer,
    idempotent,
    in_order,
    list_response,
    named_id,
)
from vwed_grpc.services.versioned import Versioned
from vwed_grpc.storage import definition_lists, definitions, present_runs
from vwed_grpc.storage.transaction import Transaction
from vwed_grpc.writes.commit import Effects

ORDERS = frozenset({"name", "create_time", "update_time", "task_type"})
CONTENT = frozenset({"name", "description", "task_type", "config", "labels"})
CREATED = CONTENT | {"id", "status", "change_note"}
"""What the creator of a definition may give."""


async def _problems(task_def: TaskDef, path: str) -> list[Violation]:
    config = task_def.config
    return await offload(config.ByteSize(), config_problems, config, f"{path}.config")


class TaskDefs(Servicer):
    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self.task_defs = Versioned(backend, definitions.task_defs, CONTENT, _problems)

    async def CreateTaskDef(self, request: CreateTaskDefRequest, call: Call) -> TaskDef:
        given = TaskDef()
        await offload(request.task_def.ByteSize(), apply_mask, given, request.task_def, CREATED)
        set_first_status(given)
        await self.task_defs.check(given, "task_def")

        async def work(tx: Transaction, effects: Effects) -> TaskDef:
            return await idempotent(
                tx,
                call,
                request,
                lambda: self.task_defs.create(tx, call, effects, given),
                lambda id_: definitions.task_defs.lock(tx, call.tenant, id_),
            )

        return await self.write_bulk(call, work, validate_only=request.validate_only)

    async def GetTaskDef(self, request: GetTaskDefRequest, call: Call) -> bytes:
        return await self.task_defs.get(call, request.id, request.version)

    async def BatchGetTaskDefs(self, request: BatchGetTaskDefsRequest, call: Call) -> bytes:
        found = await definition_lists.by_id(definitions.task_defs).batch(
            self.backend.database.bulk,
            [definitions.task_defs.heads.c.tenant == call.tenant],
            request.ids,
            full=request.view == View.VIEW_FULL,
        )
        items = in_order(found, request.ids, definitions.task_defs.missing)
        return await list_response(BatchGetTaskDefsResponse(), "task_defs", items)

    async def ListTaskDefs(self, request: ListTaskDefsRequest, call: Call) -> bytes:
        items, token, total = await self.page(
            request,
            call,
            await definition_lists.filtered(
                self.backend.database.bulk,
                definitions.task_defs,
                call.tenant,
                request.filter,
                deleted=request.show_deleted,
            ),
            [definitions.task_defs.heads.c.tenant == call.tenant],
            fields=ORDERS,
            default="create_time",
        )
        answer = ListTaskDefsResponse(next_page_token=token, total_size=total)
        return await list_response(answer, "task_defs", items)

    async def UpdateTaskDef(self, request: UpdateTaskDefRequest, call: Call) -> TaskDef:
        named_id(request.task_def.id, "task_def")

        async def work(tx: Transaction, effects: Effects) -> TaskDef:
            return await self.task_defs.update(
                tx, call, effects, request.task_def, request.update_mask
            )

        return await self.write_bulk(call, work, validate_only=request.validate_only)

    async def DeleteTaskDef(self, request: DeleteTaskDefRequest, call: Call) -> TaskDef:
        async def work(tx: Transaction, effects: Effects) -> TaskDef:
            task_def = await self.task_defs.live(tx, call, request.id, request.etag)
            if not request.force and await present_runs.open_of(tx, call.tenant, request.id):
                raise FailedPrecondition(
                    "OPEN_RUNS",
                    f"task_def {request.id!r} has open runs",
                    metadata={"id": request.id},
                )
            return await self.task_defs.delete(tx, call, effects, task_def)

        task_def = await self.write_bulk(call, work)
        self.task_defs.note(call, "deleted", request)
        return task_def

    async def UndeleteTaskDef(self, request: UndeleteTaskDefRequest, call: Call) -> TaskDef:
        async def work(tx: Transaction, effects: Effects) -> TaskDef:
            return await self.task_defs.undelete(tx, call, effects, request)

        task_def = await self.write_bulk(call, work)
        self.task_defs.note(call, "undeleted", request)
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
            task_def = await self.task_defs.live(tx, call, request.id, request.etag)
            if task_def.status == status:
                return task_def
            require_step(task_def.status, status)
            task_def.status = status
            return await self.task_defs.keep_content(tx, call, effects, task_def)

        task_def = await self.write_bulk(call, work)
        self.task_defs.note(call, "enabled" if status == ENABLED else "disabled", request)
        return task_def


def set_first_status(task_def: TaskDef) -> None:
    """On create DRAFT or ENABLED, unset means ENABLED."""
    task_def.status = task_def.status or ENABLED
    if task_def.status not in FIRST:
        raise InvalidArgument.of("task_def.status", "must be DRAFT or ENABLED on create")
