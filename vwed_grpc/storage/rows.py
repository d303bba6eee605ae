"""Rows become messages here, and nowhere else.

Each function takes a row that has at least the columns of the basic view; payload columns (config,
input, …) are put in where the row has them.
"""

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


def task_def(row: Row) -> TaskDef:
    message = TaskDef(
        id=row.id,
        name=row.name,
        description=row.description,
        task_type=row.task_type,
        status=row.status,
        version=row.version,
        task_template_id=row.task_template_id,
        task_template_version=row.task_template_version,
        labels=row.labels,
        created_by=row.created_by,
        change_note=row.change_note,
        etag=row.etag,
    )
    _definition_times(message, row)
    if "config" in row._mapping:
        put_json(message.config, row.config)
    return message


def task_template(row: Row) -> TaskTemplate:
    message = TaskTemplate(
        id=row.id,
        name=row.name,
        description=row.description,
        task_type=row.task_type,
        version=row.version,
        labels=row.labels,
        created_by=row.created_by,
        change_note=row.change_note,
        etag=row.etag,
    )
    _definition_times(message, row)
    if "config" in row._mapping:
        put_json(message.config, row.config)
        put_json(message.parameters_schema, row.parameters_schema)
    return message


def _definition_times(message: TaskDef | TaskTemplate, row: Row) -> None:
    put_time(message.create_time, row.create_time)
    put_time(message.update_time, row.update_time)
    put_time(message.delete_time, row.delete_time)


def task_record(row: Row) -> TaskRecord:
    message = TaskRecord(
        id=row.id,
        task_def_id=row.task_def_id,
        task_def_version=row.task_def_version,
        task_def_name=row.task_def_name,
        task_type=row.task_type,
        status=row.status,
        error_message=row.error_message,
        error_code=row.error_code,
        executor_id=row.executor_id,
        lease_epoch=row.lease_epoch,
        robot_id=row.robot_id,
        message=row.message,
        priority=row.priority,
        external_id=row.external_id,
        labels=row.labels,
        parent_task_record_id=row.parent_task_record_id,
        parent_block_record_id=row.parent_block_record_id,
        root_task_record_id=row.root_task_record_id,
        retry_of=row.retry_of,
        attempt=row.attempt,
        block_counts=block_counts(row),
        seq=row.seq,
        pinned=row.pinned,
        created_by=row.created_by,
        status_actor=row.status_actor,
        status_reason=row.status_reason,
        etag=row.etag,
    )
    message.progress = progress(message.block_counts, message.status)
    put_time(message.start_time, row.start_time)
    put_time(message.end_time, row.end_time)
    put_time(message.lease_expire_time, row.lease_expire_time)
    put_time(message.create_time, row.create_time)
    put_time(message.update_time, row.update_time)
    if "input" in row._mapping:
        put_json(message.input, row.input)
        put_json(message.result, row.result)
    return message


def block_counts(row: Row) -> BlockCounts:
    """The counts that stand in a run's row."""
    counts = BlockCounts(
        pending=row.blocks_pending,
        running=row.blocks_running,
        paused=row.blocks_paused,
        succeeded=row.blocks_succeeded,
        failed=row.blocks_failed,
        skipped=row.blocks_skipped,
        canceled=row.blocks_canceled,
    )
    put_total(counts, row.config_blocks)
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


def block_record(row: Row) -> BlockRecord:
    message = BlockRecord(
        id=row.id,
        task_record_id=row.task_record_id,
        block_id=row.block_id,
        iteration=row.iteration,
        attempt=row.attempt,
        block_type=row.block_type,
        name=row.name,
        status=row.status,
        parent_block_record_id=row.parent_block_record_id,
        robot_id=row.robot_id,
        message=row.message,
        error_message=row.error_message,
        progress=row.progress,
        first_seq=row.first_seq,
        seq=row.seq,
    )
    put_time(message.start_time, row.start_time)
    put_time(message.end_time, row.end_time)
    put_time(message.create_time, row.create_time)
    put_time(message.update_time, row.update_time)
    if "input_data" in row._mapping:
        put_json(message.input_data, row.input_data)
        put_json(message.output_data, row.output_data)
    return message


def data_cache(row: Row) -> DataCache:
    message = DataCache(
        id=row.id,
        task_record_id=row.task_record_id,
        key=row.key,
        type=row.type,
        version=row.version,
    )
    put_time(message.expire_time, row.expire_time)
    put_time(message.create_time, row.create_time)
    put_time(message.update_time, row.update_time)
    if "value" in row._mapping:
        message.MergeFromString(row.value)
    return message
