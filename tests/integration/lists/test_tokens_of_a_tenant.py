"""A page or resume token is good for the tenant that got it, in every method that takes one."""

import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from grpc import StatusCode
from vwed.v1 import cache_service_pb2, record_service_pb2, task_def_service_pb2
from vwed.v1.block_record_pb2 import BlockRecord
from vwed.v1.record_service_pb2 import ReportBlocksRequest
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_def_service_pb2 import CreateTaskTemplateRequest, UpdateTaskTemplateRequest
from vwed.v1.task_template_pb2 import TaskTemplate

from tests.support.calls import create_def, create_run, set_entry, start_run, update_def
from tests.support.steps import refused
from vwed.client import Client, connect

MODULES = {
    "definitions": (task_def_service_pb2, "TaskDefService"),
    "records": (record_service_pb2, "RecordService"),
    "cache": (cache_service_pb2, "CacheService"),
}
"""Stub of the client -> where its requests are, and the service's name."""
TAKES_A_TOKEN = [
    (stub, method.name, token)
    for stub, (module, name) in MODULES.items()
    for method in module.DESCRIPTOR.services_by_name[name].methods
    for token in method.input_type.fields_by_name
    if token.endswith("_token")
]
NAMED: dict[str, dict[str, Any]] = {
    "ListTaskDefVersions": {"id": "def-1"},
    "ListTaskTemplateVersions": {"id": "template-1"},
    "ListBlockRecords": {"task_record_id": "run-1"},
    "ListTaskRecordEvents": {"task_record_id": "run-1"},
    "ListDataCache": {"task_record_id": "run-1"},
    "WatchTaskRecords": {"bookmark_interval": Duration(seconds=1)},
}
"""What a method's request must name, or had better say."""


async def fill(client: Client) -> None:
    """Two of everything that can be listed, under the same names in every tenant."""
    for n in (1, 2):
        await create_def(client, f"d{n}", id=f"def-{n}")
        await client.definitions.CreateTaskTemplate(
            CreateTaskTemplateRequest(task_template=TaskTemplate(id=f"template-{n}", name=f"t{n}"))
        )
        await create_run(client, "def-1", id=f"run-{n}")
    await update_def(client, TaskDef(id="def-1", description="second"))
    await client.definitions.UpdateTaskTemplate(
        UpdateTaskTemplateRequest(task_template=TaskTemplate(id="template-1", description="second"))
    )
    await start_run(client, "run-1")
    await client.records.ReportBlocks(
        ReportBlocksRequest(
            task_record_id="run-1", block_records=[BlockRecord(block_id=b) for b in "ab"]
        )
    )
    for key in "ab":
        await set_entry(client, "run-1", key, int_value=1)


@pytest.fixture(scope="module")
async def two_tenants(target: str) -> AsyncIterator[tuple[Client, Client]]:
    names = (f"t-{uuid.uuid4().hex[:12]}" for _ in range(2))
    async with (
        connect(target, tenant=next(names), bare=True) as one,
        connect(target, tenant=next(names), bare=True) as other,
    ):
        await fill(one)
        await fill(other)
        yield one, other


@pytest.mark.parametrize(("stub", "method", "token"), TAKES_A_TOKEN)
async def test_a_token_is_of_its_tenant(
    two_tenants: tuple[Client, Client], stub: str, method: str, token: str
) -> None:
    module, _ = MODULES[stub]
    request_type = getattr(module, f"{method}Request")
    named = NAMED.get(method, {})
    one, other = (getattr(getattr(client, stub), method) for client in two_tenants)
    if token == "page_token":
        request = request_type(page_size=1, **named)
        request.page_token = (await one(request)).next_page_token
    else:
        request = request_type(**named)
        request.resume_token = (await first_of(one(request))).resume_token
    assert getattr(request, token)
    assert await answered(one(request)), "it is good where it came from"
    with refused(StatusCode.INVALID_ARGUMENT) as refusal:
        await answered(other(request))
    assert refusal.fields == [token]


async def first_of(stream: Any) -> Any:
    try:
        async for message in stream:
            return message
    finally:
        stream.cancel()


async def answered(call: Any) -> Any:
    """A unary answer, or the first message of a stream."""
    return await (first_of(call) if hasattr(call, "__aiter__") else call)
