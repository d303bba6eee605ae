"""The RPCs of task definitions."""

from vwed.v1.task_def_pb2 import TaskDef, TaskDefStatus
from vwed.v1.task_def_service_pb2 import (
    CreateTaskDefRequest,
    DeleteTaskDefRequest,
    GetTaskDefRequest,
    ListTaskDefsRequest,
    ListTaskDefsResponse,
    UpdateTaskDefRequest,
)

from vwed_grpc.domain.config_tree import config_problems
from vwed_grpc.domain.errors import FailedPrecondition, InvalidArgument, Violation
from vwed_grpc.domain.field_mask import apply_mask
from vwed_grpc.progress.commit import Effects
from vwed_grpc.rpc.call import Call
from vwed_grpc.services.backend import Backend, Servicer, named_id, once
from vwed_grpc.services.versioned import Versioned
from vwed_grpc.storage import definitions, task_records
from vwed_grpc.storage.database import Transaction

ORDERS = frozenset({"name", "create_time", "update_time", "task_type"})
CONTENT = frozenset({"name", "description", "task_type", "config", "labels"})
CREATED = CONTENT | {"id", "status", "change_note"}
"""What the creator of a definition may give."""

DRAFT = TaskDefStatus.TASK_DEF_STATUS_DRAFT
ENABLED = TaskDefStatus.TASK_DEF_STATUS_ENABLED
DISABLED = TaskDefStatus.TASK_DEF_STATUS_DISABLED


def _problems(task_def: TaskDef, path: str) -> list[Violation]:
    return config_problems(task_def.config, f"{path}.config")


class TaskDefs(Servicer):
    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self.task_defs = Versioned(backend, definitions.task_defs, CONTENT, _problems)

    async def CreateTaskDef(self, request: CreateTaskDefRequest, call: Call) -> TaskDef:
        self.task_defs.check(request.task_def, "task_def")
        given = TaskDef()
        apply_mask(given, request.task_def, CREATED)
        set_first_status(given)

        async def work(tx: Transaction, effects: Effects) -> TaskDef:
            return await once(
                tx,
                call,
                request,
                lambda: self.task_defs.create(tx, call, effects, given),
                lambda id_: definitions.task_defs.lock(tx, call.tenant, id_),
            )

        return await self.write(call, work, validate_only=request.validate_only)

    async def GetTaskDef(self, request: GetTaskDefRequest, call: Call) -> bytes:
        return await self.task_defs.get(call, request.id, request.version)

    async def ListTaskDefs(self, request: ListTaskDefsRequest, call: Call) -> ListTaskDefsResponse:
        items, token, total = await self.page(
            request,
            definitions.task_defs.listing,
            definitions.where(
                definitions.task_defs, call.tenant, request.filter, deleted=request.show_deleted
            ),
            fields=ORDERS,
            default="create_time",
        )
        return ListTaskDefsResponse(task_defs=items, next_page_token=token, total_size=total)

    async def UpdateTaskDef(self, request: UpdateTaskDefRequest, call: Call) -> TaskDef:
        named_id(request.task_def.id, "task_def")

        async def work(tx: Transaction, effects: Effects) -> TaskDef:
            return await self.task_defs.update(
                tx, call, effects, request.task_def, request.update_mask
            )

        return await self.write(call, work, validate_only=request.validate_only)

    async def DeleteTaskDef(self, request: DeleteTaskDefRequest, call: Call) -> TaskDef:
        async def work(tx: Transaction, effects: Effects) -> TaskDef:
            task_def = await self.task_defs.live(tx, call, request.id, request.etag)
            if not request.force and await task_records.open_of(tx, call.tenant, request.id):
                raise FailedPrecondition(
                    "OPEN_RUNS",
                    f"task_def {request.id!r} has open runs",
                    metadata={"id": request.id},
                )
            return await self.task_defs.delete(tx, call, effects, task_def)

        return await self.write(call, work)


def set_first_status(task_def: TaskDef) -> None:
    """On create DRAFT or ENABLED, unset means ENABLED."""
    if task_def.status == DISABLED:
        raise InvalidArgument.of("task_def.status", "must be DRAFT or ENABLED on create")
    task_def.status = task_def.status or ENABLED
