"""The RPCs of task templates."""

from dataclasses import dataclass

from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_def_service_pb2 import (
    CreateTaskTemplateRequest,
    DeleteTaskTemplateRequest,
    GetTaskTemplateRequest,
    InstantiateTaskTemplateRequest,
    ListTaskTemplatesRequest,
    ListTaskTemplatesResponse,
    UndeleteTaskTemplateRequest,
    UpdateTaskTemplateRequest,
)
from vwed.v1.task_template_pb2 import TaskTemplate

from vwed_grpc.domain.errors import InvalidArgument, Violation
from vwed_grpc.domain.field_mask import apply_mask
from vwed_grpc.domain.ids import require_id
from vwed_grpc.domain.templates import (
    instantiate_serialized,
    problems_of_serialized,
    template_problems,
)
from vwed_grpc.loop.offload import offload
from vwed_grpc.loop.offload_process import offload_to_process
from vwed_grpc.rpc.call import Call
from vwed_grpc.services.definition_reads import DefinitionReads
from vwed_grpc.services.definitions import CREATED, TASK_DEFS, set_first_status
from vwed_grpc.services.idempotent import idempotent
from vwed_grpc.services.versioned import Versioned
from vwed_grpc.storage import definitions
from vwed_grpc.storage.pool import ReadingPool
from vwed_grpc.storage.transaction import Transaction
from vwed_grpc.writes.commit import Committer, Effects

CONTENT = frozenset({"name", "description", "task_type", "config", "parameters_schema", "labels"})


async def _problems(template: TaskTemplate, path: str) -> list[Violation]:
    config, schema = template.config, template.parameters_schema
    if not schema.fields:
        return await offload(config.ByteSize(), template_problems, config, schema, path)
    return await offload_to_process(
        problems_of_serialized, config.SerializeToString(), schema.SerializeToString(), path
    )


TEMPLATES = Versioned(definitions.task_templates, content=CONTENT, problems=_problems)


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskTemplates:
    bulk: ReadingPool
    committer: Committer
    reads: DefinitionReads

    async def CreateTaskTemplate(
        self, request: CreateTaskTemplateRequest, call: Call
    ) -> TaskTemplate:
        given = TaskTemplate()
        asked = request.task_template
        await offload(asked.ByteSize(), apply_mask, given, asked, CONTENT | {"id", "change_note"})
        await TEMPLATES.check(given, "task_template")

        work = idempotent(
            call,
            request,
            make=lambda tx, effects: TEMPLATES.create(tx, effects, call, given=given),
            again=lambda tx, id_: definitions.task_templates.lock(tx, call.tenant, id_),
        )
        return await self.committer.run(
            self.bulk, work, call.remaining, validate_only=request.validate_only
        )

    async def GetTaskTemplate(self, request: GetTaskTemplateRequest, call: Call) -> bytes:
        return await self.reads.get(
            definitions.task_templates, call, request.id, version=request.version
        )

    async def ListTaskTemplates(self, request: ListTaskTemplatesRequest, call: Call) -> bytes:
        page = await self.reads.list(definitions.task_templates, call, request)
        return await page.response(ListTaskTemplatesResponse, "task_templates")

    async def UpdateTaskTemplate(
        self, request: UpdateTaskTemplateRequest, call: Call
    ) -> TaskTemplate:
        require_id(request.task_template.id, "task_template.id")

        async def work(tx: Transaction, effects: Effects) -> TaskTemplate:
            return await TEMPLATES.update(
                tx, effects, call, given=request.task_template, mask=request.update_mask
            )

        return await self.committer.run(
            self.bulk, work, call.remaining, validate_only=request.validate_only
        )

    async def DeleteTaskTemplate(
        self, request: DeleteTaskTemplateRequest, call: Call
    ) -> TaskTemplate:
        async def work(tx: Transaction, effects: Effects) -> TaskTemplate:
            template = await TEMPLATES.live(tx, call, request.id, etag=request.etag)
            return await TEMPLATES.delete(tx, effects, call, message=template)

        template = await self.committer.run(self.bulk, work, call.remaining)
        TEMPLATES.note(call, "deleted", request)
        return template

    async def UndeleteTaskTemplate(
        self, request: UndeleteTaskTemplateRequest, call: Call
    ) -> TaskTemplate:
        async def work(tx: Transaction, effects: Effects) -> TaskTemplate:
            return await TEMPLATES.undelete(tx, effects, call, request=request)

        template = await self.committer.run(self.bulk, work, call.remaining)
        TEMPLATES.note(call, "undeleted", request)
        return template

    async def InstantiateTaskTemplate(
        self, request: InstantiateTaskTemplateRequest, call: Call
    ) -> TaskDef:
        if request.task_def.HasField("config"):
            raise InvalidArgument.of("task_def.config", "must be unset: the template gives it")
        given = TaskDef()
        apply_mask(given, request.task_def, CREATED)
        set_first_status(given)

        work = idempotent(
            call,
            request,
            make=lambda tx, effects: _instantiate(tx, effects, call, request=request, given=given),
            again=lambda tx, id_: definitions.task_defs.lock(tx, call.tenant, id_),
        )
        return await self.committer.run(
            self.bulk, work, call.remaining, validate_only=request.validate_only
        )


async def _instantiate(
    tx: Transaction,
    effects: Effects,
    call: Call,
    *,
    request: InstantiateTaskTemplateRequest,
    given: TaskDef,
) -> TaskDef:
    template = await _source(tx, call, request)
    config = await offload_to_process(
        instantiate_serialized,
        *(template.config.SerializeToString(), template.parameters_schema.SerializeToString()),
        *(request.parameters.SerializeToString(), request.overrides.SerializeToString()),
    )
    instance = TaskDef(
        task_type=template.task_type,
        task_template_id=template.id,
        task_template_version=template.version,
    )
    instance.MergeFrom(given)
    await offload(len(config), instance.config.MergeFromString, config)
    return await TASK_DEFS.create(tx, effects, call, given=instance)


async def _source(
    tx: Transaction, call: Call, request: InstantiateTaskTemplateRequest
) -> TaskTemplate:
    """The template at the version asked for; a soft-deleted one is refused."""
    template = await definitions.task_templates.pinned(
        tx, call.tenant, request.id, version=request.version
    )
    if template is None:
        raise await definitions.task_templates.missing_at(
            tx, call.tenant, request.id, version=request.version
        )
    if template.HasField("delete_time"):
        raise definitions.task_templates.deleted(request.id)
    return template
