"""Views, and pages that end early because their items are large."""

from typing import Any

import pytest
from google.protobuf.struct_pb2 import Value
from vwed.v1.block_record_pb2 import BlockRecord
from vwed.v1.cache_service_pb2 import ListDataCacheRequest
from vwed.v1.common_pb2 import View
from vwed.v1.data_cache_pb2 import DataCacheType
from vwed.v1.record_service_pb2 import (
    ListBlockRecordsRequest,
    ListTaskRecordEventsRequest,
    ListTaskRecordsRequest,
    ReportBlockRequest,
    ReportBlocksRequest,
)
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_def_service_pb2 import (
    ListTaskDefsRequest,
    ListTaskDefVersionsRequest,
    ListTaskTemplatesRequest,
    ListTaskTemplateVersionsRequest,
)
from vwed.v1.task_template_pb2 import TaskTemplate

from tests.support.calls import (
    create_def,
    create_run,
    finish_run,
    json_object,
    set_entry,
    start_run,
    update_def,
)
from tests.support.definition_calls import create_template, update_template
from vwed.client import Client

BASIC = (View.VIEW_UNSPECIFIED, View.VIEW_BASIC)
FULL = View.VIEW_FULL
LARGE = "x" * 900_000
EARLY = 3 << 20


async def started(client: Client) -> str:
    task_def = await create_def(client)
    return (await start_run(client, (await create_run(client, task_def.id)).id)).id


async def test_definitions(client: Client) -> None:
    made = await create_def(client, config=json_object(speed=1), labels={"zone": "A"})
    full = await client.definitions.ListTaskDefs(ListTaskDefsRequest(view=FULL))
    assert list(full.task_defs) == [made]
    made.ClearField("config")
    for view in BASIC:
        basic = await client.definitions.ListTaskDefs(ListTaskDefsRequest(view=view))
        assert list(basic.task_defs) == [made]


async def test_runs(client: Client) -> None:
    task_def = await create_def(client)
    run = await create_run(client, task_def.id, input=json_object(to="A1"), labels={"zone": "A"})
    await start_run(client, run.id)
    run = await finish_run(client, run.id, result=json_object(moved=3))
    full = await client.records.ListTaskRecords(ListTaskRecordsRequest(view=FULL))
    assert list(full.task_records) == [run]
    run.ClearField("input")
    run.ClearField("result")
    for view in BASIC:
        basic = await client.records.ListTaskRecords(ListTaskRecordsRequest(view=view))
        assert list(basic.task_records) == [run]


async def test_blocks_and_events(client: Client) -> None:
    run = await started(client)
    given, made = json_object(to="A1"), json_object(moved=3)
    report = BlockRecord(block_id="a", input_data=given, output_data=made)
    answer = await client.records.ReportBlock(
        ReportBlockRequest(task_record_id=run, block_record=report)
    )
    block = answer.block_record
    for view in (*BASIC, FULL):
        if view != FULL:
            expected = BlockRecord()
            expected.CopyFrom(block)
            expected.ClearField("input_data")
            expected.ClearField("output_data")
        else:
            expected = block
        blocks = await client.records.ListBlockRecords(
            ListBlockRecordsRequest(task_record_id=run, view=view)
        )
        assert list(blocks.block_records) == [expected]
        events = await client.records.ListTaskRecordEvents(
            ListTaskRecordEventsRequest(task_record_id=run, view=view)
        )
        assert events.events[-1].block_record == expected


async def test_entries_keep_their_type_without_their_value(client: Client) -> None:
    run = await started(client)
    entry = await set_entry(client, run, "a", json_value=Value(bool_value=True))
    full = await client.cache.ListDataCache(ListDataCacheRequest(task_record_id=run, view=FULL))
    assert list(full.data_caches) == [entry]
    entry.ClearField("json_value")
    assert entry.type == DataCacheType.DATA_CACHE_TYPE_JSON_VALUE
    for view in BASIC:
        basic = await client.cache.ListDataCache(
            ListDataCacheRequest(task_record_id=run, view=view)
        )
        assert list(basic.data_caches) == [entry]


async def pages(call: Any, request: Any, items: str) -> list[list[Any]]:
    """All pages of a list; each is one that every client takes."""
    found = []
    while True:
        answer = await call(request)
        assert answer.ByteSize() < 4 << 20
        found.append(list(getattr(answer, items)))
        request.page_token = answer.next_page_token
        if not request.page_token:
            return found


@pytest.mark.parametrize("page_size", [1000, 4])
async def test_pages_of_large_definitions_end_early(client: Client, page_size: int) -> None:
    made = [await create_def(client, f"d{n}", config=json_object(x=LARGE)) for n in range(5)]
    request = ListTaskDefsRequest(view=FULL, page_size=page_size)
    found = await pages(client.definitions.ListTaskDefs, request, "task_defs")
    assert [len(page) for page in found] == [3, 2]
    assert [item for page in found for item in page] == made
    request = ListTaskDefsRequest(page_size=1000)
    assert len(await pages(client.definitions.ListTaskDefs, request, "task_defs")) == 1


async def test_pages_of_large_templates_and_versions_end_early(client: Client) -> None:
    definition = await create_def(client, "d", config=json_object(x=LARGE))
    template = await create_template(client, "t0", config=json_object(x=LARGE))
    for n in range(1, 5):
        config = json_object(x=LARGE, n=n)
        await update_def(client, TaskDef(id=definition.id, config=config))
        await update_template(client, TaskTemplate(id=template.id, config=config))
        await create_template(client, f"t{n}", config=config)
    calls = client.definitions
    for call, request, items in (
        (calls.ListTaskTemplates, ListTaskTemplatesRequest(), "task_templates"),
        (
            calls.ListTaskDefVersions,
            ListTaskDefVersionsRequest(id=definition.id),
            "task_def_versions",
        ),
        (
            calls.ListTaskTemplateVersions,
            ListTaskTemplateVersionsRequest(id=template.id),
            "task_template_versions",
        ),
    ):
        request.view = FULL
        found = await pages(call, request, items)
        assert [len(page) for page in found] == [3, 2], items
        assert all(item.config.fields["x"].string_value == LARGE for p in found for item in p)


async def test_pages_of_large_runs_end_early(client: Client) -> None:
    task_def = await create_def(client)
    made = [await create_run(client, task_def.id, input=json_object(x=LARGE)) for _ in range(5)]
    request = ListTaskRecordsRequest(view=FULL, order_by="create_time")
    found = await pages(client.records.ListTaskRecords, request, "task_records")
    assert [len(page) for page in found] == [3, 2]
    assert [item for page in found for item in page] == made


async def test_pages_of_large_blocks_and_events_end_early(client: Client) -> None:
    run = await started(client)
    for n in range(5):
        report = BlockRecord(block_id=f"b{n}", output_data=json_object(x=LARGE))
        await client.records.ReportBlock(
            ReportBlockRequest(task_record_id=run, block_record=report)
        )
    blocks = ListBlockRecordsRequest(task_record_id=run, view=FULL)
    found = await pages(client.records.ListBlockRecords, blocks, "block_records")
    assert [[block.block_id for block in page] for page in found] == [
        ["b0", "b1", "b2"],
        ["b3", "b4"],
    ]
    assert {
        len(block.output_data.fields["x"].string_value) for page in found for block in page
    } == {len(LARGE)}
    events = ListTaskRecordEventsRequest(task_record_id=run, view=FULL)
    found = await pages(client.records.ListTaskRecordEvents, events, "events")
    assert [[event.seq for event in page] for page in found] == [[1, 2, 3, 4, 5], [6, 7]]


async def test_pages_of_large_entries_end_early(client: Client) -> None:
    run = await started(client)
    for n in range(5):
        await set_entry(client, run, f"k{n}", bytes_value=bytes(1 << 20))
    request = ListDataCacheRequest(task_record_id=run, view=FULL)
    found = await pages(client.cache.ListDataCache, request, "data_caches")
    assert [[entry.key for entry in page] for page in found] == [["k0", "k1"], ["k2", "k3"], ["k4"]]
    assert all(len(entry.bytes_value) == 1 << 20 for page in found for entry in page)


async def test_pages_of_the_basic_view_end_early_too(client: Client) -> None:
    run = await started(client)
    for n in range(2):
        reports = [
            BlockRecord(block_id=f"{n}-{m:02}", error_message="x" * 65_536) for m in range(40)
        ]
        await client.records.ReportBlocks(
            ReportBlocksRequest(task_record_id=run, block_records=reports)
        )
    request = ListBlockRecordsRequest(task_record_id=run, page_size=1000)
    found = await pages(client.records.ListBlockRecords, request, "block_records")
    assert len(found) == 2
    assert all(sum(block.ByteSize() for block in page) <= EARLY for page in found)
    names = [block.block_id for page in found for block in page]
    assert names == [f"{n}-{m:02}" for n in range(2) for m in range(40)]
