"""Whether a run matches a filter: SQL's answer for what a run was, which SQL cannot be asked."""

from collections.abc import Callable, Mapping
from functools import partial
from operator import attrgetter

from google.protobuf.timestamp_pb2 import Timestamp
from vwed.v1.common_pb2 import TimeRange
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordFilter

_VALUES: dict[str, str] = {
    "ids": "id",
    "task_def_ids": "task_def_id",
    "task_def_names": "task_def_name",
    "task_types": "task_type",
    "statuses": "status",
    "error_codes": "error_code",
    "external_ids": "external_id",
    "executor_ids": "executor_id",
    "robot_ids": "robot_id",
}
_SINGLE = ("parent_task_record_id", "root_task_record_id", "retry_of")
_TIMES = ("create_time", "start_time", "end_time")


Predicate = Callable[[TaskRecord], bool]


def predicate(f: TaskRecordFilter) -> Predicate:
    """Fields are ANDed, the values within one ORed; "" is unset, an unset time is in no range.

    What the filter asks for is found out once: it is asked of every change of a tenant's runs.
    """
    tests: list[Predicate] = [
        partial(_is_one_of, frozenset(values), attrgetter(of))
        for field, of in _VALUES.items()
        if (values := getattr(f, field))
    ]
    tests += [
        partial(_is_one_of, frozenset((value,)), attrgetter(name))
        for name in _SINGLE
        if (value := getattr(f, name))
    ]
    if f.external_id_prefix:
        tests.append(partial(_begins_with, f.external_id_prefix))
    if f.labels:
        tests.append(partial(_bears, dict(f.labels)))
    tests += [
        partial(_is_within, span, attrgetter(name))
        for name in _TIMES
        if (span := getattr(f, name)).ByteSize()
    ]
    return lambda run: all(test(run) for test in tests)


def _is_one_of(
    values: frozenset[object], of: Callable[[TaskRecord], object], run: TaskRecord
) -> bool:
    return of(run) in values


def _begins_with(prefix: str, run: TaskRecord) -> bool:
    return run.external_id.startswith(prefix)


def _bears(labels: Mapping[str, str], run: TaskRecord) -> bool:
    return all(run.labels.get(key, "") == value for key, value in labels.items())


def _is_within(span: TimeRange, of: Callable[[TaskRecord], Timestamp], run: TaskRecord) -> bool:
    at = of(run)
    return (
        at.ByteSize() > 0
        and (not span.HasField("from") or _key(at) >= _key(getattr(span, "from")))
        and (not span.HasField("to") or _key(at) < _key(span.to))
    )


def _key(at: Timestamp) -> tuple[int, int]:
    """In microseconds, which is all that PostgreSQL keeps."""
    return at.seconds, at.nanos // 1000
