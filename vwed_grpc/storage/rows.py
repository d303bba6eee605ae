"""Rows become messages here, and nowhere else.

Each row has at least the columns of the basic view; payload columns (config, input, …) are put in
where the row has them. A function in the plural takes the columns' names of a result, and answers
what makes its rows messages.
"""

from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from operator import itemgetter
from typing import Any, TypeVar

import sqlalchemy as sa
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from vwed.v1.block_record_pb2 import BlockRecord
from vwed.v1.data_cache_pb2 import DataCache
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_record_pb2 import BlockCounts, TaskRecord, TaskRecordStatus
from vwed.v1.task_template_pb2 import TaskTemplate

from vwed_grpc.domain.blocks import BLOCK_COUNTS
from vwed_grpc.storage.codecs import EPOCH_SECONDS, within_years

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Row = sa.Row[Any]
M = TypeVar("M", bound=Message)


def put_time(target: Timestamp, value: datetime | int | None) -> None:
    """Sets a Timestamp, in microseconds; None leaves it unset. See `storage.codecs` for numbers.

    An infinite time, which no report can leave any more, is shown as the last or first Timestamp.
    """
    if isinstance(value, int):
        seconds, microseconds = divmod(within_years(value), 1_000_000)
        target.seconds = seconds + EPOCH_SECONDS
        target.nanos = microseconds * 1000
    elif value is not None:
        if value.tzinfo is None:  # as the driver gives an infinite one
            value = value.replace(tzinfo=UTC)
        since = value - EPOCH
        target.seconds = since.days * 86400 + since.seconds
        target.nanos = since.microseconds * 1000


def timestamp(value: datetime) -> Timestamp:
    """See `put_time`."""
    result = Timestamp()
    put_time(result, value)
    return result


def moment(value: Timestamp) -> datetime:
    """The datetime of a Timestamp within years 1-9999, cut to microseconds."""
    return EPOCH + timedelta(seconds=value.seconds, microseconds=value.nanos // 1000)


def span(value: Duration) -> timedelta:
    """A Duration, cut to microseconds."""
    return timedelta(seconds=value.seconds, microseconds=value.nanos // 1000)


def put_json(target: Struct, value: bytes | None) -> None:
    """Sets a Struct from its stored bytes; None leaves it unset."""
    if value is not None:
        target.SetInParent()
        target.MergeFromString(value)


Names = tuple[str, ...]
"""The columns of a result, in order."""


def _reader(
    message: type[M], names: Names, plain: Names, times: Names, json: Names = ()
) -> Callable[[Row], M]:
    """Makes messages of the rows that have these columns.

    Where each stands is looked up here, once, for lists have many rows; a field that is empty is
    left out, for an empty one is what a new message has.
    """
    plain_of = itemgetter(*map(names.index, plain))
    times_of = itemgetter(*map(names.index, times))
    payload = [(name, names.index(name)) for name in json if name in names]
    labels = names.index("labels") if "labels" in message.DESCRIPTOR.fields_by_name else None

    def read(row: Row) -> M:
        made = message(**{n: value for n, value in zip(plain, plain_of(row), strict=True) if value})
        for name, value in zip(times, times_of(row), strict=True):
            if value is not None:
                put_time(getattr(made, name), value)
        if labels is not None and (given := row[labels]):
            into: MutableMapping[str, str] = made.labels  # type: ignore[attr-defined]  # see above
            for key, value in given.items():  # in one go it costs three times as much
                into[key] = value
        for name, at in payload:
            put_json(getattr(made, name), row[at])
        return made

    return read


_DEFINED = (
    "id", "name", "description", "task_type", "version", "created_by", "change_note", "etag",
)  # fmt: skip
_TASK_DEF = (*_DEFINED, "status", "task_template_id", "task_template_version")
_DEFINED_TIMES = ("create_time", "update_time", "delete_time")


@lru_cache
def task_defs(names: Names) -> Callable[[Row], TaskDef]:
    return _reader(TaskDef, names, _TASK_DEF, _DEFINED_TIMES, ("config",))


@lru_cache
def task_templates(names: Names) -> Callable[[Row], TaskTemplate]:
    return _reader(TaskTemplate, names, _DEFINED, _DEFINED_TIMES, ("config", "parameters_schema"))


_TASK_RECORD = (
    "id", "task_def_id", "task_def_version", "task_def_name", "task_type", "status",
    "error_message", "error_code", "executor_id", "lease_epoch", "robot_id", "message", "priority",
    "external_id", "parent_task_record_id", "parent_block_record_id",
    "root_task_record_id", "retry_of", "attempt", "seq", "pinned", "created_by", "status_actor",
    "status_reason", "etag",
)  # fmt: skip
_TASK_RECORD_TIMES = ("start_time", "end_time", "lease_expire_time", "create_time", "update_time")


@lru_cache
def task_records(names: Names) -> Callable[[Row], TaskRecord]:
    read = _reader(TaskRecord, names, _TASK_RECORD, _TASK_RECORD_TIMES, ("input", "result"))
    counts_of = itemgetter(*(names.index(f"blocks_{n}") for n in BLOCK_COUNTS))
    config_blocks = names.index("config_blocks")

    def read_run(row: Row) -> TaskRecord:
        made = read(row)
        counts, found = made.block_counts, counts_of(row)
        for name, count in zip(BLOCK_COUNTS, found, strict=True):
            if count:
                setattr(counts, name, count)
        # Numbers that are at hand are added up in half the time of a message's.
        counts.total = total = max(row[config_blocks], sum(found))
        made.progress = _share(sum(found[_OPEN:]), total, made.status)
        return made

    return read_run


def task_record(row: Row) -> TaskRecord:
    return task_records(tuple(row._fields))(row)


def put_total(counts: BlockCounts, config_blocks: int) -> None:
    """Total is the greater of: the blocks in the config, the blocks counted."""
    counted = counts.pending + counts.running + counts.paused + final_blocks(counts)
    counts.total = max(config_blocks, counted)


def final_blocks(counts: BlockCounts) -> int:
    """How many of the blocks counted are final."""
    return counts.succeeded + counts.failed + counts.skipped + counts.canceled


_SUCCEEDED = TaskRecordStatus.TASK_RECORD_STATUS_SUCCEEDED


_OPEN = BLOCK_COUNTS.index("succeeded")
"""How many of the counts are of blocks that are not final: the first ones."""


def progress(counts: BlockCounts, status: TaskRecordStatus.ValueType) -> float:
    """Final blocks / total, exactly 1 once the run has SUCCEEDED."""
    return _share(final_blocks(counts), counts.total, status)


def _share(final: int, total: int, status: TaskRecordStatus.ValueType) -> float:
    if status == _SUCCEEDED:
        return 1.0
    return final / total if total else 0.0


_BLOCK_RECORD = (
    "id", "task_record_id", "block_id", "iteration", "attempt", "block_type", "name", "status",
    "parent_block_record_id", "robot_id", "message", "error_message", "progress", "first_seq",
    "seq",
)  # fmt: skip


_BLOCK_RECORD_TIMES = ("start_time", "end_time", "create_time", "update_time")


@lru_cache
def block_records(names: Names) -> Callable[[Row], BlockRecord]:
    return _reader(
        BlockRecord, names, _BLOCK_RECORD, _BLOCK_RECORD_TIMES, ("input_data", "output_data")
    )


def block_record(row: Row) -> BlockRecord:
    return block_records(tuple(row._fields))(row)


_DATA_CACHE = ("id", "task_record_id", "key", "type", "version")
_DATA_CACHE_TIMES = ("expire_time", "create_time", "update_time")


@lru_cache
def data_caches(names: Names) -> Callable[[Row], DataCache]:
    read = _reader(DataCache, names, _DATA_CACHE, _DATA_CACHE_TIMES)
    if "value" not in names:
        return read
    value = names.index("value")

    def read_value(row: Row) -> DataCache:
        made = read(row)
        made.MergeFromString(row[value])
        return made

    return read_value


def data_cache(row: Row) -> DataCache:
    return data_caches(tuple(row._fields))(row)
