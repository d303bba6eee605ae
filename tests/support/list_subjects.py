"""One list of every kind, each with seven items."""

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from vwed.v1.block_record_pb2 import BlockRecord
from vwed.v1.cache_service_pb2 import ListDataCacheRequest
from vwed.v1.record_service_pb2 import (
    ListBlockRecordsRequest,
    ListTaskRecordEventsRequest,
    ListTaskRecordsRequest,
    ReportBlocksRequest,
)
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_def_service_pb2 import (
    CreateTaskTemplateRequest,
    ListTaskDefsRequest,
    ListTaskDefVersionsRequest,
    ListTaskTemplatesRequest,
    ListTaskTemplateVersionsRequest,
)
from vwed.v1.task_template_pb2 import TaskTemplate

from tests.support.calls import create_def, create_run, set_entry, start_run, update_def
from tests.support.definition_calls import create_template, update_template
from vwed.client import Client

COUNT = 7


@dataclass
class Subject:
    """One list with COUNT items."""

    call: Callable[[Any], Awaitable[Any]]
    arguments: Any
    items: str
    """The answer's field that holds them."""
    name: Callable[[Any], Any]
    """Of an item."""
    expected: list[Any]
    """Names of all, in the default order."""

    async def page(self, **options: Any) -> tuple[list[Any], str, int]:
        request = type(self.arguments)()
        request.CopyFrom(self.arguments)
        request.MergeFrom(type(request)(**options))
        answer = await self.call(request)
        names = [self.name(item) for item in getattr(answer, self.items)]
        return names, answer.next_page_token, answer.total_size


async def started_run(client: Client, blocks: int = 0) -> str:
    task_def = await create_def(client, f"def-{uuid.uuid4()}")
    run = await start_run(client, (await create_run(client, task_def.id)).id)
    for start in range(0, blocks, 1000):
        names = (f"block-{n}" for n in range(start, min(start + 1000, blocks)))
        await client.records.ReportBlocks(
            ReportBlocksRequest(
                task_record_id=run.id, block_records=[BlockRecord(block_id=n) for n in names]
            )
        )
    return run.id


async def definitions(client: Client) -> Subject:
    made = [await create_def(client, f"def-{n}") for n in range(COUNT)]
    return Subject(
        client.definitions.ListTaskDefs,
        ListTaskDefsRequest(),
        "task_defs",
        lambda item: item.name,
        [task_def.name for task_def in made],
    )


async def templates(client: Client) -> Subject:
    names = [f"template-{n}" for n in range(COUNT)]
    for name in names:
        await client.definitions.CreateTaskTemplate(
            CreateTaskTemplateRequest(task_template=TaskTemplate(name=name))
        )
    return Subject(
        client.definitions.ListTaskTemplates,
        ListTaskTemplatesRequest(),
        "task_templates",
        lambda item: item.name,
        names,
    )


async def versions(client: Client) -> Subject:
    made = await create_def(client)
    for n in range(1, COUNT):
        await update_def(client, TaskDef(id=made.id, description=f"{n}"))
    return Subject(
        client.definitions.ListTaskDefVersions,
        ListTaskDefVersionsRequest(id=made.id),
        "task_def_versions",
        lambda item: item.version,
        list(range(COUNT, 0, -1)),  # the newest first
    )


async def template_versions(client: Client) -> Subject:
    made = await create_template(client)
    for n in range(1, COUNT):
        await update_template(client, TaskTemplate(id=made.id, description=f"{n}"))
    return Subject(
        client.definitions.ListTaskTemplateVersions,
        ListTaskTemplateVersionsRequest(id=made.id),
        "task_template_versions",
        lambda item: item.version,
        list(range(COUNT, 0, -1)),
    )


async def runs(client: Client) -> Subject:
    task_def = await create_def(client)
    made = [await create_run(client, task_def.id) for _ in range(COUNT)]
    return Subject(
        client.records.ListTaskRecords,
        ListTaskRecordsRequest(),
        "task_records",
        lambda item: item.id,
        [run.id for run in reversed(made)],  # the newest first
    )


async def blocks(client: Client, run: str = "") -> Subject:
    run = run or await started_run(client, COUNT)
    return Subject(
        client.records.ListBlockRecords,
        ListBlockRecordsRequest(task_record_id=run),
        "block_records",
        lambda item: item.block_id,
        [f"block-{n}" for n in range(COUNT)],
    )


async def events(client: Client) -> Subject:
    # The creation and the start are events too.
    return Subject(
        client.records.ListTaskRecordEvents,
        ListTaskRecordEventsRequest(task_record_id=await started_run(client, COUNT - 2)),
        "events",
        lambda item: item.seq,
        list(range(1, COUNT + 1)),
    )


async def entries(client: Client) -> Subject:
    run = await started_run(client)
    keys = [f"key-{n}" for n in range(COUNT)]
    for key in reversed(keys):
        await set_entry(client, run, key, int_value=1)
    return Subject(
        client.cache.ListDataCache,
        ListDataCacheRequest(task_record_id=run),
        "data_caches",
        lambda item: item.key,
        keys,
    )


ALL = [definitions, templates, versions, template_versions, runs, blocks, events, entries]
