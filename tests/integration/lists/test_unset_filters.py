"""The value "" means unset, in every filter of every list, watch and claim.

The fields are read off the descriptors, so that a new one cannot be forgotten here.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from vwed.v1 import cache_service_pb2, record_service_pb2, task_def_service_pb2
from vwed.v1.block_record_pb2 import BlockRecord, BlockRecordFilter
from vwed.v1.common_pb2 import TimeRange
from vwed.v1.record_service_pb2 import (
    ClaimTaskRecordsRequest,
    ListBlockRecordsRequest,
    ListTaskRecordsRequest,
    SummarizeTaskRecordsRequest,
    WatchTaskRecordsRequest,
)
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_def_service_pb2 import (
    CreateTaskTemplateRequest,
    InstantiateTaskTemplateRequest,
    ListTaskDefsRequest,
    ListTaskTemplatesRequest,
    TaskDefFilter,
    TaskTemplateFilter,
)
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordFilter
from vwed.v1.task_template_pb2 import TaskTemplate

from tests.support.calls import create_def, create_run
from tests.support.steps import block, report, running, sql
from vwed.client import Client
from vwed_grpc.domain.run_filter import predicate

ALWAYS_SET: dict[str, set[str]] = {
    "TaskRecordFilter": {"ids", "task_def_ids", "task_def_names"},
    "BlockRecordFilter": {"block_ids"},
    "TaskDefFilter": {"names"},
    "TaskTemplateFilter": {"names"},
}
"""Fields that ask for what nothing is without: "" finds nothing."""
VALUES: dict[str, dict[str, str]] = {
    "TaskRecordFilter": {
        "task_types": "move",
        "error_codes": "JAM",
        "external_ids": "wms-1",
        "executor_ids": "amr-1",
        "robot_ids": "r1",
    },
    "BlockRecordFilter": {"block_types": "lift", "robot_ids": "r1"},
    "TaskDefFilter": {"task_types": "move", "task_template_ids": "template"},
    "TaskTemplateFilter": {"task_types": "move"},
}
"""What `whole` has in the field that a filter's field asks for."""
LABELS: list[dict[str, str]] = [{"zone": ""}, {"zone": "", "line": ""}, {"zone": "", "all": "1"}]
"""Of which `bare` bears the last one alone, and `whole` all."""
WHOLE_LABELS = {"zone": "A", "line": "1", "all": "1"}
BARE_LABELS = {"line": "", "all": "1"}


def filters(of: Descriptor) -> Iterator[Descriptor]:
    """The messages of a request that say which items are meant."""
    for field in of.fields:
        if field.message_type is not None and field.message_type.name.endswith("Filter"):
            yield field.message_type


REQUESTS = [
    method.input_type
    for module in (cache_service_pb2, record_service_pb2, task_def_service_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]


def text_lists(of: Descriptor) -> set[str]:
    return {f.name for f in of.fields if f.type == FieldDescriptor.TYPE_STRING and f.is_repeated}


def test_no_filter_is_forgotten() -> None:
    found = {f.name: f for request in REQUESTS for f in filters(request)}
    assert {name: text_lists(of) for name, of in found.items()} == {
        name: ALWAYS_SET[name] | VALUES[name].keys() for name in VALUES
    }
    with_runs = {r.name for r in REQUESTS if TaskRecordFilter.DESCRIPTOR in filters(r)}
    assert with_runs == {
        "ListTaskRecordsRequest",
        "ClaimTaskRecordsRequest",
        "WatchTaskRecordsRequest",
        "SummarizeTaskRecordsRequest",
        "SummarizeBlockRecordsRequest",  # it has the conditions of the one before
    }


def cases(name: str) -> list[Any]:
    """Filters, and which of `bare` and `whole` each finds."""
    found: list[tuple[dict[str, Any], set[str]]] = [
        ({field: [""]}, set()) for field in sorted(ALWAYS_SET[name])
    ]
    for field, value in VALUES[name].items():
        found += [
            ({field: [""]}, {"bare"}),
            ({field: ["", value]}, {"bare", "whole"}),
            ({field: ["", "other"]}, {"bare"}),
            ({field: [value]}, {"whole"}),
        ]
    if name != "BlockRecordFilter":
        found += [({"labels": labels}, {"bare"}) for labels in LABELS]
    return [pytest.param(given, names, id=str(given)) for given, names in found]


async def list_runs(client: Client, f: TaskRecordFilter) -> set[str]:
    request = ListTaskRecordsRequest(filter=f, include_total=True)
    answer = await client.records.ListTaskRecords(request)
    assert answer.total_size == len(answer.task_records)
    return {run.id for run in answer.task_records}


async def watch_runs(client: Client, f: TaskRecordFilter) -> set[str]:
    stream = client.records.WatchTaskRecords(
        WatchTaskRecordsRequest(filter=f, bookmark_interval=Duration(seconds=1))
    )
    try:
        async for message in stream:
            return {event.task_record_id for event in message.events}
    finally:
        stream.cancel()
    return set()


async def claim_runs(client: Client, f: TaskRecordFilter) -> set[str]:
    request = ClaimTaskRecordsRequest(executor_id="claimer", filter=f, max_count=10)
    answer = await client.records.ClaimTaskRecords(request)
    return {run.id for run in answer.task_records}


async def summarize_runs(client: Client, f: TaskRecordFilter) -> set[str]:
    span = TimeRange()
    getattr(span, "from").FromDatetime(ENDED)
    span.to.FromDatetime(ENDED + timedelta(hours=1))
    by = [SummarizeTaskRecordsRequest.GroupBy.GROUP_BY_TASK_DEF]
    request = SummarizeTaskRecordsRequest(filter=f, end_time=span, group_by=by)
    answer = await client.records.SummarizeTaskRecords(request)
    return {summary.task_def_id for summary in answer.task_record_summaries}


ENDED = datetime(2026, 3, 2, tzinfo=UTC)
WAYS = {
    "list": list_runs,
    "watch": watch_runs,
    "claim": claim_runs,
    "summarize": summarize_runs,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("given", "names"), cases("TaskRecordFilter"))
async def test_of_runs(
    client: Client, database_url: str, tenant: str, way: str, given: dict[str, Any], names: set[str]
) -> None:
    await create_def(client, "bare", id="bare")
    await create_def(client, "whole", id="whole", task_type="move")
    await create_run(client, "bare", id="bare", labels=BARE_LABELS)
    await create_run(client, "whole", id="whole", labels=WHOLE_LABELS, external_id="wms-1")
    await sql(
        database_url,
        "UPDATE task_records SET end_time = :at, executor_id = w[1], robot_id = w[2],"
        "       error_code = w[3]"
        "  FROM (VALUES ('bare', ARRAY['', '', '']), ('whole', ARRAY['amr-1', 'r1', 'JAM']))"
        "       AS v (run, w)"
        " WHERE tenant = :tenant AND id = run RETURNING id",
        tenant=tenant,
        at=ENDED,
    )
    assert await WAYS[way](client, TaskRecordFilter(**given)) == names


@pytest.mark.parametrize(("given", "names"), cases("TaskRecordFilter"))
def test_of_what_a_run_was(given: dict[str, Any], names: set[str]) -> None:
    runs = (
        TaskRecord(id="bare", task_def_id="bare", task_def_name="bare", labels=BARE_LABELS),
        TaskRecord(
            id="whole",
            task_def_id="whole",
            task_def_name="whole",
            labels=WHOLE_LABELS,
            task_type="move",
            external_id="wms-1",
            executor_id="amr-1",
            robot_id="r1",
            error_code="JAM",
        ),
    )
    assert {run.id for run in runs if predicate(TaskRecordFilter(**given))(run)} == names


@pytest.mark.parametrize(("given", "names"), cases("BlockRecordFilter"))
async def test_of_blocks(client: Client, given: dict[str, Any], names: set[str]) -> None:
    run = await running(client)
    whole = BlockRecord(block_id="whole", block_type="lift", robot_id="r1")
    await report(client, run.id, block("bare"), whole)
    answer = await client.records.ListBlockRecords(
        ListBlockRecordsRequest(task_record_id=run.id, filter=BlockRecordFilter(**given))
    )
    assert {record.block_id for record in answer.block_records} == names


@pytest.mark.parametrize("deleted", [False, True])
@pytest.mark.parametrize(("given", "names"), cases("TaskDefFilter"))
async def test_of_definitions(
    client: Client, given: dict[str, Any], names: set[str], *, deleted: bool
) -> None:
    template = TaskTemplate(id="template", name="template")
    await client.definitions.CreateTaskTemplate(CreateTaskTemplateRequest(task_template=template))
    await create_def(client, "bare", id="bare", labels=BARE_LABELS)
    whole = TaskDef(id="whole", name="whole", task_type="move", labels=WHOLE_LABELS)
    await client.definitions.InstantiateTaskTemplate(
        InstantiateTaskTemplateRequest(id="template", task_def=whole)
    )
    answer = await client.definitions.ListTaskDefs(
        ListTaskDefsRequest(filter=TaskDefFilter(**given), show_deleted=deleted, include_total=True)
    )
    assert {task_def.id for task_def in answer.task_defs} == names
    assert answer.total_size == len(names)


@pytest.mark.parametrize(("given", "names"), cases("TaskTemplateFilter"))
async def test_of_templates(client: Client, given: dict[str, Any], names: set[str]) -> None:
    for template in (
        TaskTemplate(id="bare", name="bare", labels=BARE_LABELS),
        TaskTemplate(id="whole", name="whole", task_type="move", labels=WHOLE_LABELS),
    ):
        await client.definitions.CreateTaskTemplate(
            CreateTaskTemplateRequest(task_template=template)
        )
    answer = await client.definitions.ListTaskTemplates(
        ListTaskTemplatesRequest(filter=TaskTemplateFilter(**given), include_total=True)
    )
    assert {template.id for template in answer.task_templates} == names
    assert answer.total_size == len(names)
