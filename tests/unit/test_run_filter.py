"""What watches ask of a run as it was: every field of the filter that lists have."""

from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from vwed.v1.common_pb2 import TimeRange
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordFilter, TaskRecordStatus

from vwed_grpc.domain.run_filter import matches

RUNNING = TaskRecordStatus.TASK_RECORD_STATUS_RUNNING
FAILED = TaskRecordStatus.TASK_RECORD_STATUS_FAILED
RUN: dict[str, Any] = {
    "id": "run-1",
    "task_def_id": "def-1",
    "task_def_name": "lift",
    "task_type": "up",
    "status": FAILED,
    "error_code": "JAM",
    "external_id": "wms-1",
    "executor_id": "amr-1",
    "robot_id": "r1",
    "parent_task_record_id": "above",
    "root_task_record_id": "top",
    "retry_of": "before",
    "labels": {"zone": "A", "line": "1"},
    "create_time": Timestamp(seconds=10),
    "start_time": Timestamp(seconds=20),
    "end_time": Timestamp(seconds=30, nanos=5_000),
}


def span(start: int | None, end: int | None, nanos: int = 0) -> TimeRange:
    result = TimeRange()
    if start is not None:
        getattr(result, "from").seconds = start
        getattr(result, "from").nanos = nanos
    if end is not None:
        result.to.seconds = end
        result.to.nanos = nanos
    return result


CASES: dict[str, tuple[Any, Any]] = {
    "ids": (["x", "run-1"], ["x"]),
    "task_def_ids": (["x", "def-1"], ["def-2"]),
    "task_def_names": (["x", "lift"], ["Lift"]),
    "task_types": (["x", "up"], ["x"]),
    "statuses": ([RUNNING, FAILED], [RUNNING]),
    "error_codes": (["x", "JAM"], ["x", ""]),
    "external_ids": (["x", "wms-1"], ["wms"]),
    "external_id_prefix": ("wms-", "ms-1"),
    "executor_ids": (["x", "amr-1"], ["x", ""]),
    "robot_ids": (["x", "r1"], ["x", ""]),
    "parent_task_record_id": ("above", "top"),
    "root_task_record_id": ("top", "above"),
    "retry_of": ("before", "run-1"),
    "labels": ({"zone": "A", "line": "1"}, {"zone": "A", "line": "2"}),
    "create_time": (span(10, 11), span(9, 10)),
    "start_time": (span(None, 21), span(21, None)),
    "end_time": (span(30, 31, nanos=5_000), span(29, 30, nanos=5_000)),
}
"""Field -> what the run matches, and what it does not."""


@pytest.mark.parametrize("field", TaskRecordFilter.DESCRIPTOR.fields_by_name)
def test_each_field_asks_for_its_own(field: str) -> None:
    run = TaskRecord(**RUN)
    wanted, other = CASES[field]
    assert matches(TaskRecordFilter(**{field: wanted}), run)
    assert not matches(TaskRecordFilter(**{field: other}), run)


@pytest.mark.parametrize("field", CASES)
def test_all_must_match(field: str) -> None:
    both = {name: wanted for name, (wanted, _) in CASES.items()}
    assert matches(TaskRecordFilter(**both), TaskRecord(**RUN))
    assert not matches(TaskRecordFilter(**both | {field: CASES[field][1]}), TaskRecord(**RUN))


@pytest.mark.parametrize("field", ["start_time", "end_time"])
def test_a_time_that_is_unset_is_in_no_range(field: str) -> None:
    run = TaskRecord(**{name: value for name, value in RUN.items() if name != field})
    for anything in (span(0, None), span(None, 100)):
        asked: dict[str, Any] = {field: anything}
        assert not matches(TaskRecordFilter(**asked), run)
