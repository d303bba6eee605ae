"""The calls on histories, templates and whole sites that tests make most often."""

from collections.abc import Iterable
from typing import Any

from google.protobuf.struct_pb2 import Struct
from vwed.v1.common_pb2 import View
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_def_service_pb2 import (
    CreateTaskTemplateRequest,
    DeleteTaskTemplateRequest,
    DiffTaskDefVersionsRequest,
    ExportTaskDefsRequest,
    ExportTaskDefsResponse,
    GetTaskTemplateRequest,
    ImportTaskDefsOptions,
    ImportTaskDefsRequest,
    ImportTaskDefsResponse,
    InstantiateTaskTemplateRequest,
    ListTaskDefVersionsRequest,
    RollbackTaskDefRequest,
    TaskDefChange,
    UpdateTaskTemplateRequest,
)
from vwed.v1.task_template_pb2 import TaskTemplate

from vwed.client import Client

SKIP = ImportTaskDefsOptions.CONFLICT_SKIP
OVERWRITE = ImportTaskDefsOptions.CONFLICT_OVERWRITE
FAIL = ImportTaskDefsOptions.CONFLICT_FAIL


async def rollback(client: Client, id_: str, version: int, **given: Any) -> TaskDef:
    request = RollbackTaskDefRequest(id=id_, version=version, **given)
    return await client.definitions.RollbackTaskDef(request)


async def versions_of(client: Client, id_: str) -> list[TaskDef]:
    """All of them in full, the oldest first; at most 1,000."""
    answer = await client.definitions.ListTaskDefVersions(
        ListTaskDefVersionsRequest(id=id_, order_by="version", page_size=1000, view=View.VIEW_FULL)
    )
    assert not answer.next_page_token
    return list(answer.task_def_versions)


async def changes(client: Client, id_: str, before: int, after: int) -> list[TaskDefChange]:
    answer = await client.definitions.DiffTaskDefVersions(
        DiffTaskDefVersionsRequest(id=id_, from_version=before, to_version=after)
    )
    return list(answer.changes)


async def create_template(client: Client, name: str = "shuttle", **given: Any) -> TaskTemplate:
    request = CreateTaskTemplateRequest(task_template=TaskTemplate(name=name, **given))
    return await client.definitions.CreateTaskTemplate(request)


async def get_template(client: Client, id_: str, version: int = 0) -> TaskTemplate:
    return await client.definitions.GetTaskTemplate(GetTaskTemplateRequest(id=id_, version=version))


async def update_template(client: Client, template: TaskTemplate, *mask: str) -> TaskTemplate:
    request = UpdateTaskTemplateRequest(task_template=template)
    request.update_mask.paths.extend(mask)
    return await client.definitions.UpdateTaskTemplate(request)


async def delete_template(client: Client, id_: str, *, etag: str = "") -> TaskTemplate:
    request = DeleteTaskTemplateRequest(id=id_, etag=etag)
    return await client.definitions.DeleteTaskTemplate(request)


async def instantiate(
    client: Client,
    template: str,
    parameters: Struct | None = None,
    overrides: Struct | None = None,
    *,
    version: int = 0,
    request_id: str = "",
    validate_only: bool = False,
    **given: Any,
) -> TaskDef:
    """`given` is the definition's; its name is that of its id unless told."""
    given.setdefault("name", given.get("id", "instance"))
    request = InstantiateTaskTemplateRequest(
        id=template,
        version=version,
        parameters=parameters,
        overrides=overrides,
        task_def=TaskDef(**given),
        request_id=request_id,
        validate_only=validate_only,
    )
    return await client.definitions.InstantiateTaskTemplate(request)


async def export(client: Client) -> list[ExportTaskDefsResponse]:
    call = client.definitions.ExportTaskDefs(ExportTaskDefsRequest())
    return [item async for item in call]


def item(resource: TaskDef | TaskTemplate) -> ImportTaskDefsRequest:
    if isinstance(resource, TaskDef):
        return ImportTaskDefsRequest(task_def=resource)
    return ImportTaskDefsRequest(task_template=resource)


def items(exported: Iterable[ExportTaskDefsResponse]) -> list[TaskDef | TaskTemplate]:
    """What stands in each message of an export."""
    return [each.task_def if each.HasField("task_def") else each.task_template for each in exported]


async def import_(
    client: Client,
    *resources: TaskDef | TaskTemplate,
    conflict: ImportTaskDefsOptions.Conflict.ValueType = SKIP,
    validate_only: bool = False,
) -> ImportTaskDefsResponse:
    options = ImportTaskDefsOptions(conflict=conflict, validate_only=validate_only)
    sent = [ImportTaskDefsRequest(options=options), *(item(each) for each in resources)]
    return await client.definitions.ImportTaskDefs(iter(sent))
