"""The filter that watches ask of a run as it was; SQL has the lists' (tests/integration/lists)."""

from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from vwed.v1.common_pb2 import TimeRange
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordFilter

from vwed_grpc.domain.lifecycle import FAILED, RUNNING
from vwed_grpc.domain.run_filter import predicate

VALUES = {
    "ids": "id",
    "task_def_ids": "task_def_id",
    "task_def_names": "task_def_name",
    "task_types": "task_type",
    "error_codes": "error_code",
    "external_ids": "external_id",
    "executor_ids": "executor_id",
    "robot_ids": "robot_id",
}
SINGLE = ("parent_task_record_id", "root_task_record_id", "retry_of")
TIMES = ("create_time", "start_time", "end_time")


def at(seconds: int, nanos: int = 0) -> Timestamp:
    return Timestamp(seconds=seconds, nanos=nanos)


def span(**ends: Any) -> TimeRange:
    return TimeRange(**ends)


def with_(**fields: Any) -> TaskRecord:
    return TaskRecord(**fields)


def matches(run: TaskRecord, **fields: Any) -> bool:
    return predicate(TaskRecordFilter(**fields))(run)


def test_all_fields_are_here() -> None:
    fields = {*VALUES, *SINGLE, *TIMES, "statuses", "external_id_prefix", "labels"}
    assert fields == set(TaskRecordFilter.DESCRIPTOR.fields_by_name)


@pytest.mark.parametrize("field", VALUES)
def test_any_of_the_values_will_do(field: str) -> None:
    run = with_(**{name: f"my-{name}" for name in VALUES.values()})
    mine = f"my-{VALUES[field]}"
    assert matches(run, **{field: [mine]})
    assert matches(run, **{field: ["other", mine]})
    assert not matches(run, **{field: ["other", mine.upper()]})


def test_any_of_the_statuses_will_do() -> None:
    run = TaskRecord(status=FAILED)
    assert matches(run, statuses=[RUNNING, FAILED])
    assert not matches(run, statuses=[RUNNING])


@pytest.mark.parametrize("field", SINGLE)
def test_runs_are_named_one_by_one(field: str) -> None:
    run = with_(**{name: f"my-{name}" for name in SINGLE})
    assert matches(run, **{field: f"my-{field}"})
    assert not matches(run, **{field: "other"})


@pytest.mark.parametrize(("prefix", "does"), [("wms", True), ("wms-1", True), ("ms-1", False)])
def test_an_external_id_begins_with_the_prefix(prefix: str, does: bool) -> None:
    assert matches(TaskRecord(external_id="wms-1"), external_id_prefix=prefix) == does


@pytest.mark.parametrize(
    ("labels", "does"),
    [
        ({"zone": "A"}, True),
        ({"zone": "A", "line": "1"}, True),
        ({"zone": "A", "line": "2"}, False),
        ({"zone": ""}, False),
        ({"floor": ""}, True),
    ],
)
def test_all_of_the_labels_are_asked_for(labels: dict[str, str], does: bool) -> None:
    assert matches(TaskRecord(labels={"zone": "A", "line": "1"}), labels=labels) == does


@pytest.mark.parametrize("field", TIMES)
@pytest.mark.parametrize(
    ("ends", "does"),
    [
        ({"from": at(9)}, True),
        ({"from": at(10, 5_000)}, True),
        ({"from": at(10, 6_000)}, False),
        ({"from": at(11)}, False),
        ({"to": at(9)}, False),
        ({"to": at(10, 5_000)}, False),
        ({"to": at(10, 6_000)}, True),
        ({"from": at(10), "to": at(11)}, True),
        ({"from": at(11), "to": at(12)}, False),
        # What is finer than a microsecond is cut off.
        ({"from": at(10, 5_999)}, True),
        ({"to": at(10, 5_999)}, False),
    ],
)
def test_a_time_is_from_the_one_end_and_before_the_other(
    field: str, ends: dict[str, Timestamp], does: bool
) -> None:
    run = with_(**{field: at(10, 5_000)})
    assert matches(run, **{field: span(**ends)}) == does
    assert not matches(TaskRecord(), **{field: span(**ends)})


def test_what_is_not_asked_for_does_not_matter_and_all_else_must_fit() -> None:
    run = TaskRecord(id="a", labels={"zone": "A"})
    assert matches(run)
    assert matches(run, ids=["a"], labels={"zone": "A"})
    assert not matches(run, ids=["b"], labels={"zone": "A"})
    assert not matches(run, ids=["a"], labels={"zone": "B"})
