"""Every item of every list, over several pages."""

from typing import Any

import pytest
from vwed.v1.cache_service_pb2 import ListDataCacheRequest
from vwed.v1.record_service_pb2 import (
    ListBlockRecordsRequest,
    ListTaskRecordEventsRequest,
    ListTaskRecordsRequest,
)
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_def_service_pb2 import (
    CreateTaskTemplateRequest,
    ListTaskDefsRequest,
    ListTaskDefVersionsRequest,
    ListTaskTemplatesRequest,
    ListTaskTemplateVersionsRequest,
    UpdateTaskTemplateRequest,
)
from vwed.v1.task_template_pb2 import TaskTemplate

from tests.support.calls import create_def, set_entry, update_def
from tests.support.steps import block, create, report, running
from vwed.client import Client, NotFound, connect, pages

ITEMS = 5


async def all_of(method: Any, request: Any) -> list[Any]:
    return [item async for item in pages(method, request)]


@pytest.mark.parametrize("size", [1, 2, ITEMS, 0])
async def test_runs_come_page_by_page(client: Client, size: int) -> None:
    definition = await create_def(client)
    made = [(await create(client, definition.id)).id for _ in range(ITEMS)]
    request = ListTaskRecordsRequest(page_size=size, order_by="create_time")
    asked: list[ListTaskRecordsRequest] = []

    async def method(page: ListTaskRecordsRequest) -> Any:
        asked.append(ListTaskRecordsRequest.FromString(page.SerializeToString()))
        return await client.records.ListTaskRecords(page)

    assert [run.id for run in await all_of(method, request)] == made
    assert len(asked) == (-(-ITEMS // size) if size else 1)
    assert request == ListTaskRecordsRequest(page_size=size, order_by="create_time")
    middle = ListTaskRecordsRequest.FromString(asked[-1].SerializeToString())
    last = [run.id for run in await all_of(method, middle)]
    assert last == made[-len(last) :], "a request may begin at a page of its own"


async def test_a_page_is_fetched_when_the_one_before_is_used_up(client: Client) -> None:
    definition = await create_def(client)
    for _ in range(2):
        await create(client, definition.id)
    asked = 0

    async def method(page: ListTaskRecordsRequest) -> Any:
        nonlocal asked
        asked += 1
        return await client.records.ListTaskRecords(page)

    found = pages(method, ListTaskRecordsRequest(page_size=1))
    await anext(found)
    assert asked == 1
    await anext(found)
    assert asked == 2


async def test_each_list_has_its_items(target: str, tenant: str) -> None:
    async with connect(target, tenant=tenant) as client:
        run = (await running(client)).id
        await report(client, run, *(block(f"b{n}") for n in range(ITEMS)))
        for n in range(ITEMS):
            await set_entry(client, run, f"k{n}", int_value=n)
        first = await create_def(client, name="0")
        for n in range(1, ITEMS):
            await create_def(client, name=str(n))
            await update_def(client, TaskDef(id=first.id, description=str(n)))
            template = await client.definitions.CreateTaskTemplate(
                CreateTaskTemplateRequest(task_template=TaskTemplate(name=str(n)))
            )
        for n in range(ITEMS - 1):
            changed = TaskTemplate(id=template.id, description=str(n))
            await client.definitions.UpdateTaskTemplate(
                UpdateTaskTemplateRequest(task_template=changed)
            )

        r, d = client.records, client.definitions
        blocks = pages(r.ListBlockRecords, ListBlockRecordsRequest(task_record_id=run, page_size=2))
        assert [b.block_id async for b in blocks] == [f"b{n}" for n in range(ITEMS)]
        events = pages(
            r.ListTaskRecordEvents, ListTaskRecordEventsRequest(task_record_id=run, page_size=2)
        )
        assert [e.seq async for e in events] == [*range(1, ITEMS + 3)]
        entries = pages(
            client.cache.ListDataCache, ListDataCacheRequest(task_record_id=run, page_size=2)
        )
        assert [e.key async for e in entries] == [f"k{n}" for n in range(ITEMS)]
        definitions = pages(
            d.ListTaskDefs, ListTaskDefsRequest(order_by="create_time", page_size=2)
        )
        assert [e.name async for e in definitions][1:] == [str(n) for n in range(ITEMS)]
        versions = pages(
            d.ListTaskDefVersions, ListTaskDefVersionsRequest(id=first.id, page_size=2)
        )
        assert [e.version async for e in versions] == [*range(ITEMS, 0, -1)]
        templates = pages(d.ListTaskTemplates, ListTaskTemplatesRequest(page_size=2))
        assert len([t async for t in templates]) == ITEMS - 1
        of_template = pages(
            d.ListTaskTemplateVersions, ListTaskTemplateVersionsRequest(id=template.id, page_size=2)
        )
        assert [t.version async for t in of_template] == [*range(ITEMS, 0, -1)]


async def test_a_list_that_is_refused_says_so(target: str, tenant: str) -> None:
    async with connect(target, tenant=tenant) as client:
        request = ListBlockRecordsRequest(task_record_id="nothing")
        with pytest.raises(NotFound):
            await all_of(client.records.ListBlockRecords, request)
