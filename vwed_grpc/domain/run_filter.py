"""Whether a run matches a filter: SQL's answer for what a run was, which SQL cannot be asked."""

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


def matches(f: TaskRecordFilter, run: TaskRecord) -> bool:
    """Fields are ANDed, the values within one ORed; "" is unset, an unset time is in no range."""
    return (
        all(
            not getattr(f, field) or getattr(run, of) in getattr(f, field)
            for field, of in _VALUES.items()
        )
        and all(not getattr(f, name) or getattr(f, name) == getattr(run, name) for name in _SINGLE)
        and run.external_id.startswith(f.external_id_prefix)
        and all(run.labels.get(key, "") == value for key, value in f.labels.items())
        and all(_within(getattr(f, name), getattr(run, name)) for name in _TIMES)
    )


def _within(span: TimeRange, at: Timestamp) -> bool:
    given, set_ = span.ByteSize() > 0, at.ByteSize() > 0
    if not given:
        return True
    start, end = getattr(span, "from"), span.to
    return (
        set_
        and (not span.HasField("from") or _key(at) >= _key(start))
        and (not span.HasField("to") or _key(at) < _key(end))
    )


def _key(at: Timestamp) -> tuple[int, int]:
    """In microseconds, which is all that PostgreSQL keeps."""
    return at.seconds, at.nanos // 1000
