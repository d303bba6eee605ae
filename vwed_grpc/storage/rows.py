"""Rows become messages here, and nowhere else.

Each function takes a row that has at least the columns of the basic view; payload columns (config,
input, …) are put in where the row has them.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from vwed.v1.block_record_pb2 import BlockRecord
from vwed.v1.data_cache_pb2 import DataCache
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_record_pb2 import BlockCounts, TaskRecord, TaskRecordStatus
from vwed.v1.task_template_pb2 import TaskTemplate

from vwed_grpc.storage.tables import BLOCK_COUNTS

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Row = sa.Row[Any]


def put_time(target: Timestamp, value: datetime | None) -> None:
    """Sets a Timestamp, in microseconds; None leaves it unset."""
    if value is not None:
        since = value - EPOCH
        target.seconds = since.days * 86400 + since.seconds
        target.nanos = since.microseconds * 1000


def timestamp(value: datetime) -> Timestamp:
    result = Timestamp()
    put_time(result, value)
    return result


def moment(value: Timestamp) -> datetime:
    """The datetime of a Timestamp within years 1-9999, cut to microseconds."""
    return EPOCH + timedelta(seconds=value.seconds, microseconds=value.nanos // 1000)


def span(value: Duration) -> timedelta:
    return timedelta(seconds=value.seconds, microseconds=value.nanos // 1000)


def put_json(target: Struct, value: bytes | None) -> None:
    """Sets a Struct from its stored bytes; None leaves it unset."""
    if value is not None:
        target.SetInParent()
        target.MergeFromString(value)


def _values(row: Row) -> dict[str, Any]:
    """The row by its columns' names, in one go: reading it name by name costs twice as much."""
    return dict(zip(row._fields, row, strict=True))


def _set(values: dict[str, Any], fields: Sequence[str]) -> dict[str, Any]:
    """Those of the fields that are not empty: an empty one is what a new message has."""
    return {name: value for name in fields if (value := values[name])}


_DEFINED = (
    "id", "name", "description", "task_type", "version", "labels", "created_by", "change_note",
    "etag",
)  # fmt: skip
_TASK_DEF = (*_DEFINED, "status", "task_template_id", "task_template_version")


def task_def(row: Row) -> TaskDef:
    values = _values(row)
    message = TaskDef(**_set(values, _TASK_DEF))
    _definition_times(message, values)
    if "config" in values:
        put_json(message.config, values["config"])
    return message


def task_template(row: Row) -> TaskTemplate:
    values = _values(row)
    message = TaskTemplate(**_set(values, _DEFINED))
    _definition_times(message, values)
    if "config" in values:
        put_json(message.config, values["config"])
        put_json(message.parameters_schema, values["parameters_schema"])
    return message


def _definition_times(message: TaskDef | TaskTemplate, values: dict[str, Any]) -> None:
    put_time(message.create_time, values["create_time"])
    put_time(message.update_time, values["update_time"])
    put_time(message.delete_time, values["delete_time"])


_TASK_RECORD = (
    "id", "task_def_id", "task_def_version", "task_def_name", "task_type", "status",
    "error_message", "error_code", "executor_id", "lease_epoch", "robot_id", "message", "priority",
    "external_id", "labels", "parent_task_record_id", "parent_block_record_id",
    "root_task_record_id", "retry_of", "attempt", "seq", "pinned", "created_by", "status_actor",
    "status_reason", "etag",
)  # fmt: skip


def task_record(row: Row) -> TaskRecord:
    values = _values(row)
    message = TaskRecord(**_set(values, _TASK_RECORD), block_counts=_block_counts(values))
    message.progress = progress(message.block_counts, message.status)
    put_time(message.start_time, values["start_time"])
    put_time(message.end_time, values["end_time"])
    put_time(message.lease_expire_time, values["lease_expire_time"])
    put_time(message.create_time, values["create_time"])
    put_time(message.update_time, values["update_time"])
    if "input" in values:
        put_json(message.input, values["input"])
        put_json(message.result, values["result"])
    return message


def _block_counts(values: dict[str, Any]) -> BlockCounts:
    """The counts that stand in a run's row."""
    counts = BlockCounts(**{n: count for n in BLOCK_COUNTS if (count := values[f"blocks_{n}"])})
    put_total(counts, values["config_blocks"])
    return counts


def put_total(counts: BlockCounts, config_blocks: int) -> None:
    """Total is the greater of: the blocks in the config, the blocks counted."""
    counted = counts.pending + counts.running + counts.paused + final_blocks(counts)
    counts.total = max(config_blocks, counted)


def final_blocks(counts: BlockCounts) -> int:
    return counts.succeeded + counts.failed + counts.skipped + counts.canceled


def progress(counts: BlockCounts, status: TaskRecordStatus.ValueType) -> float:
    """Final blocks / total, exactly 1 once the run has SUCCEEDED."""
    if status == TaskRecordStatus.TASK_RECORD_STATUS_SUCCEEDED:
        return 1.0
    return final_blocks(counts) / counts.total if counts.total else 0.0


_BLOCK_RECORD = (
    "id", "task_record_id", "block_id", "iteration", "attempt", "block_type", "name", "status",
    "parent_block_record_id", "robot_id", "message", "error_message", "progress", "first_seq",
    "seq",
)  # fmt: skip


def block_record(row: Row) -> BlockRecord:
    values = _values(row)
    message = BlockRecord(**_set(values, _BLOCK_RECORD))
    put_time(message.start_time, values["start_time"])
    put_time(message.end_time, values["end_time"])
    put_time(message.create_time, values["create_time"])
    put_time(message.update_time, values["update_time"])
    if "input_data" in values:
        put_json(message.input_data, values["input_data"])
        put_json(message.output_data, values["output_data"])
    return message


_DATA_CACHE = ("id", "task_record_id", "key", "type", "version")


def data_cache(row: Row) -> DataCache:
    values = _values(row)
    message = DataCache(**_set(values, _DATA_CACHE))
    put_time(message.expire_time, values["expire_time"])
    put_time(message.create_time, values["create_time"])
    put_time(message.update_time, values["update_time"])
    if "value" in values:
        message.MergeFromString(values["value"])
    return message
