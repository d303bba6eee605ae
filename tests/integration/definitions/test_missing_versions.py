"""A version that is not there is told apart from a definition that is not there."""

from collections.abc import Awaitable, Callable

import pytest
from grpc import StatusCode
from vwed.v1.record_service_pb2 import CreateTaskRecordRequest, RetryTaskRecordRequest
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_def_service_pb2 import (
    CreateTaskTemplateRequest,
    DiffTaskDefVersionsRequest,
    GetTaskDefRequest,
    GetTaskTemplateRequest,
    InstantiateTaskTemplateRequest,
    RollbackTaskDefRequest,
)
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordStatus
from vwed.v1.task_template_pb2 import TaskTemplate

from tests.support.calls import create_def, create_run, finish_run, start_run
from tests.support.steps import refused
from vwed.client import Client

Ask = Callable[[Client, str, int], Awaitable[object]]
"""Asks for a version of what has this id."""

OF_DEFINITIONS: dict[str, Ask] = {
    "get": lambda c, id_, n: c.definitions.GetTaskDef(GetTaskDefRequest(id=id_, version=n)),
    "diff from": lambda c, id_, n: c.definitions.DiffTaskDefVersions(
        DiffTaskDefVersionsRequest(id=id_, from_version=n, to_version=1)
    ),
    "diff to": lambda c, id_, n: c.definitions.DiffTaskDefVersions(
        DiffTaskDefVersionsRequest(id=id_, from_version=1, to_version=n)
    ),
    "rollback": lambda c, id_, n: c.definitions.RollbackTaskDef(
        RollbackTaskDefRequest(id=id_, version=n)
    ),
    "create a run": lambda c, id_, n: c.records.CreateTaskRecord(
        CreateTaskRecordRequest(task_record=TaskRecord(task_def_id=id_, task_def_version=n))
    ),
}
OF_TEMPLATES: dict[str, Ask] = {
    "get": lambda c, id_, n: c.definitions.GetTaskTemplate(
        GetTaskTemplateRequest(id=id_, version=n)
    ),
    "instantiate": lambda c, id_, n: c.definitions.InstantiateTaskTemplate(
        InstantiateTaskTemplateRequest(id=id_, version=n, task_def=TaskDef(name="made"))
    ),
}


@pytest.mark.parametrize("ask", OF_DEFINITIONS.values(), ids=OF_DEFINITIONS)
async def test_of_a_definition(client: Client, ask: Ask) -> None:
    task_def = await create_def(client)
    for _ in range(2):  # the second time the absence is remembered
        with refused(StatusCode.NOT_FOUND, "TASK_DEF_VERSION_NOT_FOUND") as refusal:
            await ask(client, task_def.id, 7)
        assert refusal.metadata == {"id": task_def.id, "version": "7"}
    with refused(StatusCode.NOT_FOUND, "TASK_DEF_NOT_FOUND") as refusal:
        await ask(client, "none", 7)
    assert refusal.metadata == {"id": "none"}


@pytest.mark.parametrize("ask", OF_TEMPLATES.values(), ids=OF_TEMPLATES)
async def test_of_a_template(client: Client, ask: Ask) -> None:
    await client.definitions.CreateTaskTemplate(
        CreateTaskTemplateRequest(task_template=TaskTemplate(id="template", name="template"))
    )
    with refused(StatusCode.NOT_FOUND, "TASK_TEMPLATE_VERSION_NOT_FOUND") as refusal:
        await ask(client, "template", 7)
    assert refusal.metadata == {"id": "template", "version": "7"}
    with refused(StatusCode.NOT_FOUND, "TASK_TEMPLATE_NOT_FOUND"):
        await ask(client, "none", 7)


async def test_of_a_named_definition(client: Client) -> None:
    task_def = await create_def(client, "named")
    record = TaskRecord(task_def_name="named", task_def_version=7)
    with refused(StatusCode.NOT_FOUND, "TASK_DEF_VERSION_NOT_FOUND") as refusal:
        await client.records.CreateTaskRecord(CreateTaskRecordRequest(task_record=record))
    assert refusal.metadata == {"id": task_def.id, "version": "7"}


async def test_of_a_retry(client: Client) -> None:
    task_def = await create_def(client)
    run = await create_run(client, task_def.id)
    await start_run(client, run.id)
    await finish_run(client, run.id, TaskRecordStatus.TASK_RECORD_STATUS_FAILED)
    with refused(StatusCode.NOT_FOUND, "TASK_DEF_VERSION_NOT_FOUND") as refusal:
        await client.records.RetryTaskRecord(RetryTaskRecordRequest(id=run.id, task_def_version=7))
    assert refusal.metadata == {"id": task_def.id, "version": "7"}
