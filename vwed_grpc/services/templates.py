"""The RPCs of task templates."""

from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_def_service_pb2 import (
    CreateTaskTemplateRequest,
    DeleteTaskTemplateRequest,
    GetTaskTemplateRequest,
    InstantiateTaskTemplateRequest,
    ListTaskTemplatesRequest,
    ListTaskTemplatesResponse,
    ListTaskTemplateVersionsRequest,
    ListTaskTemplateVersionsResponse,
    UndeleteTaskTemplateRequest,
    UpdateTaskTemplateRequest,
)
from vwed.v1.task_template_pb2 import TaskTemplate

from vwed_grpc.domain.errors import InvalidArgument, Violation
from vwed_grpc.domain.field_mask import apply_mask
from vwed_grpc.domain.templates import (
    instantiate_serialized,
    problems_of_serialized,
    template_problems,
)
from vwed_grpc.rpc.call import Call
from vwed_grpc.rpc.offload import offload
from vwed_grpc.rpc.offload_process import offload_to_process
from vwed_grpc.services.backend import Backend, idempotent, list_response, named_id
from vwed_grpc.services.definition_history import TaskDefHistory
from vwed_grpc.services.definitions import CREATED, ORDERS, set_first_status
from vwed_grpc.services.versioned import Versioned
from vwed_grpc.storage import definition_lists, definitions
from vwed_grpc.storage.transaction import Transaction
from vwed_grpc.writes.commit import Effects

CONTENT = frozenset({"name", "description", "task_type", "config", "parameters_schema", "labels"})


async def _problems(template: TaskTemplate, path: str) -> list[Violation]:
    config, schema = template.config, template.parameters_schema
    if not schema.fields:
        return await offload(config.ByteSize(), template_problems, config, schema, path)
    return await offload_to_process(
        problems_of_serialized, config.SerializeToString(), schema.SerializeToString(), path
    )


class TaskTemplates(TaskDefHistory):
    """Templates make definitions, so they stand on their RPCs."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self.templates = Versioned(backend, definitions.task_templates, CONTENT, _problems)

    async def CreateTaskTemplate(
        self, request: CreateTaskTemplateRequest, call: Call
    ) -> TaskTemplate:
        given = TaskTemplate()
        asked = request.task_template
        await offload(asked.ByteSize(), apply_mask, given, asked, CONTENT | {"id", "change_note"})
        await self.templates.check(given, "task_template")

        async def work(tx: Transaction, effects: Effects) -> TaskTemplate:
            return await idempotent(
                tx,
                call,
                request,
                lambda: self.templates.create(tx, call, effects, given),
                lambda id_: definitions.task_templates.lock(tx, call.tenant, id_),
            )

        return await self.write_bulk(call, work, validate_only=request.validate_only)

    async def GetTaskTemplate(self, request: GetTaskTemplateRequest, call: Call) -> bytes:
        return await self.templates.get(call, request.id, request.version)

    async def ListTaskTemplates(self, request: ListTaskTemplatesRequest, call: Call) -> bytes:
        items, token, total = await self.page(
            request,
            call,
            await definition_lists.filtered(
                self.backend.database.bulk,
                definitions.task_templates,
                call.tenant,
                request.filter,
                deleted=request.show_deleted,
            ),
            [definitions.task_templates.heads.c.tenant == call.tenant],
            fields=ORDERS,
            default="create_time",
        )
        answer = ListTaskTemplatesResponse(next_page_token=token, total_size=total)
        return await list_response(answer, "task_templates", items)

    async def ListTaskTemplateVersions(
        self, request: ListTaskTemplateVersionsRequest, call: Call
    ) -> bytes:
        items, token, total = await self.versions(request, call, definitions.task_templates)
        answer = ListTaskTemplateVersionsResponse(next_page_token=token, total_size=total)
        return await list_response(answer, "task_template_versions", items)

    async def UpdateTaskTemplate(
        self, request: UpdateTaskTemplateRequest, call: Call
    ) -> TaskTemplate:
        named_id(request.task_template.id, "task_template")

        async def work(tx: Transaction, effects: Effects) -> TaskTemplate:
            return await self.templates.update(
                tx, call, effects, request.task_template, request.update_mask
            )

        return await self.write_bulk(call, work, validate_only=request.validate_only)

    async def DeleteTaskTemplate(
        self, request: DeleteTaskTemplateRequest, call: Call
    ) -> TaskTemplate:
        async def work(tx: Transaction, effects: Effects) -> TaskTemplate:
            template = await self.templates.live(tx, call, request.id, request.etag)
            return await self.templates.delete(tx, call, effects, template)

        template = await self.write_bulk(call, work)
        self.templates.note(call, "deleted", request)
        return template

    async def UndeleteTaskTemplate(
        self, request: UndeleteTaskTemplateRequest, call: Call
    ) -> TaskTemplate:
        async def work(tx: Transaction, effects: Effects) -> TaskTemplate:
            return await self.templates.undelete(tx, call, effects, request)

        template = await self.write_bulk(call, work)
        self.templates.note(call, "undeleted", request)
        return template

    async def InstantiateTaskTemplate(
        self, request: InstantiateTaskTemplateRequest, call: Call
    ) -> TaskDef:
        if request.task_def.HasField("config"):
            raise InvalidArgument.of("task_def.config", "must be unset: the template gives it")
        given = TaskDef()
        apply_mask(given, request.task_def, CREATED)
        set_first_status(given)

        async def work(tx: Transaction, effects: Effects) -> TaskDef:
            return await idempotent(
                tx,
                call,
                request,
                lambda: self._instantiate(tx, effects, call, request, given),
                lambda id_: definitions.task_defs.lock(tx, call.tenant, id_),
            )

        return await self.write_bulk(call, work, validate_only=request.validate_only)

    async def _instantiate(
        self,
        tx: Transaction,
        effects: Effects,
        call: Call,
        request: InstantiateTaskTemplateRequest,
        given: TaskDef,
    ) -> TaskDef:
        template = await self._source(tx, call, request)
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
        return await self.task_defs.create(tx, call, effects, instance)

    async def _source(
        self, tx: Transaction, call: Call, request: InstantiateTaskTemplateRequest
    ) -> TaskTemplate:
        """The template at the version asked for; a soft-deleted one is refused."""
        template = await definitions.task_templates.pinned(
            tx, call.tenant, request.id, request.version
        )
        if template is None:
            raise await definitions.task_templates.missing_at(
                tx, call.tenant, request.id, request.version
            )
        if template.HasField("delete_time"):
            raise definitions.task_templates.deleted(request.id)
        return template
