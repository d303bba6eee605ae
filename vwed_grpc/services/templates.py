"""The RPCs of task templates."""

from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_def_service_pb2 import (
    CreateTaskTemplateRequest,
    GetTaskTemplateRequest,
    InstantiateTaskTemplateRequest,
    ListTaskTemplatesRequest,
    ListTaskTemplatesResponse,
)
from vwed.v1.task_template_pb2 import TaskTemplate

from vwed_grpc.domain.errors import InvalidArgument, Violation
from vwed_grpc.domain.field_mask import apply_mask
from vwed_grpc.domain.templates import instantiate, template_problems
from vwed_grpc.progress.commit import Effects
from vwed_grpc.rpc.call import Call
from vwed_grpc.services.backend import Backend, once
from vwed_grpc.services.definitions import CREATED, ORDERS, TaskDefs, set_first_status
from vwed_grpc.services.versioned import Versioned
from vwed_grpc.storage import definitions
from vwed_grpc.storage.database import Transaction

CONTENT = frozenset({"name", "description", "task_type", "config", "parameters_schema", "labels"})


def _problems(template: TaskTemplate, path: str) -> list[Violation]:
    return template_problems(template.config, template.parameters_schema, path)


class TaskTemplates(TaskDefs):
    """Templates make definitions, so they stand on their RPCs."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self.templates = Versioned(backend, definitions.task_templates, CONTENT, _problems)

    async def CreateTaskTemplate(
        self, request: CreateTaskTemplateRequest, call: Call
    ) -> TaskTemplate:
        self.templates.check(request.task_template, "task_template")
        given = TaskTemplate()
        apply_mask(given, request.task_template, CONTENT | {"id", "change_note"})

        async def work(tx: Transaction, effects: Effects) -> TaskTemplate:
            return await once(
                tx,
                call,
                request,
                lambda: self.templates.create(tx, call, effects, given),
                lambda id_: definitions.task_templates.lock(tx, call.tenant, id_),
            )

        return await self.write(call, work, validate_only=request.validate_only)

    async def GetTaskTemplate(self, request: GetTaskTemplateRequest, call: Call) -> bytes:
        return await self.templates.get(call, request.id, request.version)

    async def ListTaskTemplates(
        self, request: ListTaskTemplatesRequest, call: Call
    ) -> ListTaskTemplatesResponse:
        items, token, total = await self.page(
            request,
            definitions.task_templates.listing,
            definitions.where(
                definitions.task_templates,
                call.tenant,
                request.filter,
                deleted=request.show_deleted,
            ),
            fields=ORDERS,
            default="create_time",
        )
        return ListTaskTemplatesResponse(
            task_templates=items, next_page_token=token, total_size=total
        )

    async def InstantiateTaskTemplate(
        self, request: InstantiateTaskTemplateRequest, call: Call
    ) -> TaskDef:
        if request.task_def.HasField("config"):
            raise InvalidArgument.of("task_def.config", "must be unset: the template gives it")
        given = TaskDef()
        apply_mask(given, request.task_def, CREATED)
        set_first_status(given)

        async def work(tx: Transaction, effects: Effects) -> TaskDef:
            async def make() -> TaskDef:
                template = await self._source(tx, call, request)
                config = instantiate(
                    template.config,
                    template.parameters_schema,
                    request.parameters,
                    request.overrides if request.HasField("overrides") else None,
                )
                given.config.CopyFrom(config)
                given.task_type = given.task_type or template.task_type
                given.task_template_id = template.id
                given.task_template_version = template.version
                return await self.task_defs.create(tx, call, effects, given)

            return await once(
                tx,
                call,
                request,
                make,
                lambda id_: definitions.task_defs.lock(tx, call.tenant, id_),
            )

        return await self.write(call, work, validate_only=request.validate_only)

    async def _source(
        self, tx: Transaction, call: Call, request: InstantiateTaskTemplateRequest
    ) -> TaskTemplate:
        """The template at the version asked for; a soft-deleted one is refused."""
        present = await self.templates.live(tx, call, request.id, "")
        if request.version in (0, present.version):
            return present
        template = await definitions.task_templates.pinned(
            tx, call.tenant, request.id, request.version
        )
        if template is None:
            raise definitions.task_templates.missing(request.id)
        return template
