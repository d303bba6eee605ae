"""Filters of runs: fields are ANDed, values within one ORed, times half-open."""

from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from vwed.v1.common_pb2 import TimeRange
from vwed.v1.record_service_pb2 import (
    HeartbeatTaskRecordRequest,
    ListTaskRecordsRequest,
    RetryTaskRecordRequest,
    UpdateTaskRecordRequest,
)
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordFilter, TaskRecordStatus

from tests.integration.lists.test_unset_filters import watch_runs
from tests.support.calls import create_def, create_run, finish_run, start_run
from vwed.client import Client

PENDING = TaskRecordStatus.TASK_RECORD_STATUS_PENDING
RUNNING = TaskRecordStatus.TASK_RECORD_STATUS_RUNNING
SUCCEEDED = TaskRecordStatus.TASK_RECORD_STATUS_SUCCEEDED
FAILED = TaskRecordStatus.TASK_RECORD_STATUS_FAILED


async def runs(client: Client, **fields: Any) -> str:
    """The ids of the runs that a filter leaves."""
    answer = await client.records.ListTaskRecords(
        ListTaskRecordsRequest(filter=TaskRecordFilter(**fields), order_by="id", include_total=True)
    )
    assert answer.total_size == len(answer.task_records)
    return " ".join(run.id for run in answer.task_records)


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
    await client.records.HeartbeatTaskRecord(HeartbeatTaskRecordRequest(id="b", robot_id="r1"))
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
        ({"robot_ids": ["r1", "r2"]}, "b"),
        ({"parent_task_record_id": "a"}, "b"),
        ({"root_task_record_id": "a"}, "a b d"),
        ({"labels": {"zone": "A"}}, "a c"),
        ({"labels": {"zone": "A", "line": "1"}}, "c"),
        ({"labels": {"zone": "A"}, "statuses": [PENDING], "task_types": ["up"]}, "a"),
        ({"task_def_ids": ["def-1"], "task_types": ["on"]}, ""),
    ):
        assert await runs(client, **fields) == ids, fields
    again = await client.records.RetryTaskRecord(RetryTaskRecordRequest(id="c"))
    assert await runs(client, retry_of="c") == again.id


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
            request.page_size = 3
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


FIRST = Timestamp(seconds=-62_135_596_800)
LAST = Timestamp(seconds=253_402_300_799, nanos=999_999_999)


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
        (FIRST, LAST, f"a b c{never}"),  # any Timestamp may be an end
        (None, FIRST, ""),
        (LAST, None, ""),
    ):
        span = TimeRange(to=end)
        if start is not None:
            getattr(span, "from").CopyFrom(start)
        assert await runs(client, **{field: span}) == ids
        if end in (FIRST, LAST) or start == LAST:  # also to who compares by himself
            wanted: dict[str, Any] = {field: span}
            told = await watch_runs(client, TaskRecordFilter(**wanted))
            assert told == {"z-open"}.intersection(ids.split())
