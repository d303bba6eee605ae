"""Filters: fields are ANDed, values within one ORed, times half-open."""

from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from vwed.v1.block_record_pb2 import (
    BlockRecord,
    BlockRecordFilter,
    BlockRecordKey,
    BlockRecordStatus,
)
from vwed.v1.common_pb2 import TimeRange
from vwed.v1.record_service_pb2 import (
    ListBlockRecordsRequest,
    ListTaskRecordsRequest,
    ReportBlocksRequest,
    UpdateTaskRecordRequest,
)
from vwed.v1.task_def_pb2 import TaskDef, TaskDefStatus
from vwed.v1.task_def_service_pb2 import (
    CreateTaskTemplateRequest,
    InstantiateTaskTemplateRequest,
    ListTaskDefsRequest,
    ListTaskTemplatesRequest,
    TaskDefFilter,
    TaskTemplateFilter,
)
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordFilter, TaskRecordStatus
from vwed.v1.task_template_pb2 import TaskTemplate

from tests.integration.calls import create_def, create_run, finish_run, start_run
from vwed_grpc.client import Client

DRAFT = TaskDefStatus.TASK_DEF_STATUS_DRAFT
ENABLED = TaskDefStatus.TASK_DEF_STATUS_ENABLED
DISABLED = TaskDefStatus.TASK_DEF_STATUS_DISABLED
PENDING = TaskRecordStatus.TASK_RECORD_STATUS_PENDING
RUNNING = TaskRecordStatus.TASK_RECORD_STATUS_RUNNING
SUCCEEDED = TaskRecordStatus.TASK_RECORD_STATUS_SUCCEEDED
FAILED = TaskRecordStatus.TASK_RECORD_STATUS_FAILED
BLOCK_RUNNING = BlockRecordStatus.BLOCK_RECORD_STATUS_RUNNING
BLOCK_FAILED = BlockRecordStatus.BLOCK_RECORD_STATUS_FAILED


async def defs(client: Client, **fields: Any) -> str:
    """The ids of the definitions that a filter leaves."""
    answer = await client.definitions.ListTaskDefs(
        ListTaskDefsRequest(filter=TaskDefFilter(**fields), order_by="id", include_total=True)
    )
    assert answer.total_size == len(answer.task_defs)
    return " ".join(task_def.id for task_def in answer.task_defs)


async def runs(client: Client, **fields: Any) -> str:
    answer = await client.records.ListTaskRecords(
        ListTaskRecordsRequest(filter=TaskRecordFilter(**fields), order_by="id", include_total=True)
    )
    assert answer.total_size == len(answer.task_records)
    return " ".join(run.id for run in answer.task_records)


async def test_definitions(client: Client) -> None:
    await create_def(client, "pick", id="a", task_type="lift", labels={"zone": "A", "line": "1"})
    await create_def(client, "place", id="b", task_type="drive", labels={"zone": "A"})
    await create_def(client, "pick 2", id="c", task_type="lift", status=DRAFT)
    for fields, ids in (
        ({}, "a b c"),
        ({"names": ["pick"]}, "a"),
        ({"names": ["pick", "place", "nothing"]}, "a b"),
        ({"names": ["Pick"]}, ""),
        ({"task_types": ["lift"]}, "a c"),
        ({"task_types": ["lift", "drive"], "statuses": [ENABLED]}, "a b"),
        ({"statuses": [DRAFT, DISABLED]}, "c"),
        ({"labels": {"zone": "A"}}, "a b"),
        ({"labels": {"zone": "A", "line": "1"}}, "a"),
        ({"labels": {"zone": "B"}}, ""),
        ({"labels": {"zone": ""}}, ""),
        ({"name_contains": "pick", "task_types": ["lift"], "statuses": [DRAFT]}, "c"),
        ({"names": ["place"], "task_types": ["lift"]}, ""),
    ):
        assert await defs(client, **fields) == ids, fields


async def test_name_contains_takes_every_character_as_it_is(client: Client) -> None:
    names = {
        "a": "50% off",
        "b": "50 off",
        "c": "a_b",
        "d": "axb",
        "e": "back\\slash",
        "f": "搬运'",
    }
    for id_, name in names.items():
        await create_def(client, name, id=id_)
    for text, ids in (
        ("off", "a b"),
        ("0% o", "a"),
        ("%", "a"),
        ("_", "c"),
        ("\\", "e"),
        ("/", ""),
        ("搬", "f"),
        ("'", "f"),
        ("OFF", ""),  # case matters
        ("50% off", "a"),
    ):
        assert await defs(client, name_contains=text) == ids, text


async def test_instances_of_a_template(client: Client) -> None:
    for id_ in ("t1", "t2"):
        template = TaskTemplate(id=id_, name=f"template {id_}")
        await client.definitions.CreateTaskTemplate(
            CreateTaskTemplateRequest(task_template=template)
        )
        await client.definitions.InstantiateTaskTemplate(
            InstantiateTaskTemplateRequest(id=id_, task_def=TaskDef(id=f"of-{id_}", name=id_))
        )
    await create_def(client, id="of-none")
    assert await defs(client, task_template_ids=["t1"]) == "of-t1"
    assert await defs(client, task_template_ids=["t1", "t2", "t3"]) == "of-t1 of-t2"


async def test_templates(client: Client) -> None:
    for template in (
        TaskTemplate(id="a", name="pick", task_type="lift", labels={"zone": "A"}),
        TaskTemplate(id="b", name="place", task_type="lift"),
        TaskTemplate(id="c", name="p_ck", task_type="drive", labels={"zone": "A"}),
    ):
        await client.definitions.CreateTaskTemplate(
            CreateTaskTemplateRequest(task_template=template)
        )
    for wanted, ids in (
        (TaskTemplateFilter(), "a b c"),
        (TaskTemplateFilter(names=["pick", "place"]), "a b"),
        (TaskTemplateFilter(name_contains="p_"), "c"),
        (TaskTemplateFilter(task_types=["lift"], labels={"zone": "A"}), "a"),
    ):
        answer = await client.definitions.ListTaskTemplates(
            ListTaskTemplatesRequest(filter=wanted, order_by="id")
        )
        assert " ".join(template.id for template in answer.task_templates) == ids


async def test_runs(client: Client) -> None:
    lift = await create_def(client, "lift", id="def-1", task_type="up")
    drive = await create_def(client, "drive", id="def-2", task_type="on")
    await create_run(client, lift.id, id="a", external_id="wms-1", labels={"zone": "A"})
    await create_run(client, lift.id, id="b", external_id="wms_1", parent_task_record_id="a")
    await create_run(client, drive.id, id="c", labels={"zone": "A", "line": "1"})
    await create_run(client, drive.id, id="d", parent_task_record_id="b")
    await start_run(client, "b", "robot-1")
    await start_run(client, "c", "robot-2")
    await finish_run(client, "c", FAILED, error_code="JAM")
    for fields, ids in (
        ({}, "a b c d"),
        ({"ids": ["a", "d", "z"]}, "a d"),
        ({"task_def_ids": ["def-1"]}, "a b"),
        ({"task_def_names": ["drive"]}, "c d"),
        ({"task_types": ["up", "on"]}, "a b c d"),
        ({"statuses": [PENDING, FAILED]}, "a c d"),
        ({"statuses": [SUCCEEDED]}, ""),
        ({"error_codes": ["JAM"]}, "c"),
        ({"external_ids": ["wms-1", "wms_1"]}, "a b"),
        ({"external_id_prefix": "wms"}, "a b"),
        ({"external_id_prefix": "wms_"}, "b"),
        ({"external_id_prefix": "%"}, ""),
        ({"executor_ids": ["robot-1", "robot-2"]}, "b c"),
        ({"parent_task_record_id": "a"}, "b"),
        ({"root_task_record_id": "a"}, "a b d"),
        ({"labels": {"zone": "A"}}, "a c"),
        ({"labels": {"zone": "A", "line": "1"}}, "c"),
        ({"labels": {"zone": "A"}, "statuses": [PENDING], "task_types": ["up"]}, "a"),
        ({"task_def_ids": ["def-1"], "task_types": ["on"]}, ""),
    ):
        assert await runs(client, **fields) == ids, fields


async def test_labels_are_filtered_as_they_are_now(client: Client) -> None:
    task_def = await create_def(client, labels={"zone": "A"})
    await create_run(client, task_def.id, id="run", labels={"zone": "A", "line": "1"})
    for labels in ({"zone": "B"}, {"line": "1", "zone": "A"}, {}):
        await client.records.UpdateTaskRecord(
            UpdateTaskRecordRequest(
                task_record=TaskRecord(id="run", labels=labels),
                update_mask=FieldMask(paths=["labels"]),
            )
        )
        for zone in ("A", "B"):
            expected = "run" if labels.get("zone") == zone else ""
            assert await runs(client, labels={"zone": zone}) == expected


async def test_pages_of_a_filtered_list_are_its_whole(client: Client) -> None:
    for name in ("x", "y", "z"):
        await create_def(client, name, id=name)
        for n in range(3):
            run = f"{name}{n}"
            labels = {"n": str(n), "even": str(n % 2)}
            await create_run(client, name, id=run, external_id=run, priority=n, labels=labels)
    for run in ("y1", "x0", "z2", "y0"):
        await start_run(client, run)
    for run in ("z2", "x0"):
        await finish_run(client, run)
    for wanted in (
        TaskRecordFilter(statuses=[RUNNING, PENDING, RUNNING]),
        TaskRecordFilter(task_def_ids=["x", "z"]),
        TaskRecordFilter(external_ids=["y1", "x0", "z2", "nothing"]),
        TaskRecordFilter(labels={"even": "0"}),
        TaskRecordFilter(labels={"even": "0", "n": "2"}, statuses=[PENDING, SUCCEEDED]),
    ):
        for order_by in (
            "",
            "create_time, id desc",
            "priority desc",
            "start_time desc",
            "end_time",
        ):
            request = ListTaskRecordsRequest(filter=wanted, order_by=order_by, include_total=True)
            whole = await client.records.ListTaskRecords(request)
            assert whole.total_size == len(whole.task_records) > 1
            assert not whole.next_page_token
            paged: list[TaskRecord] = []
            request.page_size = 2
            while not paged or request.page_token:
                page = await client.records.ListTaskRecords(request)
                assert page.total_size == whole.total_size
                paged += page.task_records
                request.page_token = page.next_page_token
            assert paged == list(whole.task_records)


def after(moment: Timestamp, microseconds: int = 1) -> Timestamp:
    later = Timestamp()
    later.FromMicroseconds(moment.ToMicroseconds() + microseconds)
    return later


@pytest.mark.parametrize("field", ["create_time", "start_time", "end_time"])
async def test_times_are_half_open(client: Client, field: str) -> None:
    task_def = await create_def(client)
    times = []
    for id_ in ("a", "b", "c"):
        await create_run(client, task_def.id, id=id_)
        await start_run(client, id_)
        times.append(getattr(await finish_run(client, id_), field))
    await create_run(client, task_def.id, id="z-open")
    never = " z-open" if field == "create_time" else ""
    a, b, c = times
    for start, end, ids in (
        (a, c, "a b"),
        (a, after(c), "a b c"),
        (after(a), c, "b"),
        (b, b, ""),
        (b, after(b), "b"),
        (c, a, ""),
        (None, b, "a"),
        (b, None, f"b c{never}"),
        (None, None, "a b c z-open"),  # an empty range leaves all
    ):
        span = TimeRange(to=end)
        if start is not None:
            getattr(span, "from").CopyFrom(start)
        assert await runs(client, **{field: span}) == ids


async def test_blocks(client: Client) -> None:
    run = await start_run(client, (await create_run(client, (await create_def(client)).id)).id)
    b = BlockRecord
    reported = await client.records.ReportBlocks(
        ReportBlocksRequest(
            task_record_id=run.id,
            block_records=[
                b(block_id="loop", block_type="for", status=BLOCK_RUNNING),
                b(block_id="x", iteration="3", parent=BlockRecordKey(block_id="loop")),
                b(block_id="x", iteration="3.1", robot_id="r1"),
                b(block_id="x", iteration="30", robot_id="r2"),
                b(block_id="y", status=BLOCK_FAILED),
                b(block_id="y", attempt=2, status=BLOCK_RUNNING),
            ],
        )
    )
    loop = reported.block_records[0].id
    every = [(r.block_id, r.iteration, r.attempt) for r in reported.block_records]
    for fields, places in (
        ({}, [0, 1, 2, 3, 4, 5]),
        ({"statuses": [BLOCK_RUNNING]}, [0, 5]),
        ({"statuses": [BLOCK_RUNNING, BLOCK_FAILED]}, [0, 4, 5]),
        ({"block_ids": ["x"]}, [1, 2, 3]),
        ({"block_ids": ["loop", "y"]}, [0, 4, 5]),
        ({"block_types": ["for"]}, [0]),
        ({"parent_block_record_id": loop}, [1]),
        ({"robot_ids": ["r1", "r2"]}, [2, 3]),
        ({"iteration_prefix": "3"}, [1, 2]),
        ({"iteration_prefix": "3.1"}, [2]),
        ({"iteration_prefix": "%"}, []),
        ({"latest_attempt_only": True}, [0, 1, 2, 3, 5]),
        ({"latest_attempt_only": True, "statuses": [BLOCK_FAILED]}, []),
        ({"block_ids": ["x"], "robot_ids": ["r2"]}, [3]),
    ):
        request = ListBlockRecordsRequest(
            task_record_id=run.id,
            filter=BlockRecordFilter(**fields),
            include_total=True,
        )
        answer = await client.records.ListBlockRecords(request)
        found = [(r.block_id, r.iteration, r.attempt) for r in answer.block_records]
        assert found == [every[place] for place in places], fields
        assert answer.total_size == len(places)
