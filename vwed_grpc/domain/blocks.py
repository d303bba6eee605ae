"""The life of a block: the contract's table of statuses, and how a report changes a block."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Literal, TypeAlias

from google.protobuf.timestamp_pb2 import Timestamp
from vwed.v1.block_record_pb2 import BlockRecord, BlockRecordStatus

from vwed_grpc.domain.errors import FailedPrecondition

Status: TypeAlias = BlockRecordStatus.ValueType

PENDING = BlockRecordStatus.BLOCK_RECORD_STATUS_PENDING
RUNNING = BlockRecordStatus.BLOCK_RECORD_STATUS_RUNNING
PAUSED = BlockRecordStatus.BLOCK_RECORD_STATUS_PAUSED
SUCCEEDED = BlockRecordStatus.BLOCK_RECORD_STATUS_SUCCEEDED
FAILED = BlockRecordStatus.BLOCK_RECORD_STATUS_FAILED
SKIPPED = BlockRecordStatus.BLOCK_RECORD_STATUS_SKIPPED
CANCELED = BlockRecordStatus.BLOCK_RECORD_STATUS_CANCELED

BLOCK_COUNTS = ("pending", "running", "paused", "succeeded", "failed", "skipped", "canceled")
"""The fields of BlockCounts, in the order of the statuses from 1 on."""

FINAL = frozenset({SUCCEEDED, FAILED, SKIPPED, CANCELED})
TRANSITIONS: dict[Status, frozenset[Status]] = {
    PENDING: frozenset({PENDING, RUNNING, PAUSED}) | FINAL,
    RUNNING: frozenset({RUNNING, PAUSED}) | FINAL,
    PAUSED: frozenset({PAUSED, RUNNING}) | FINAL,
    **{status: frozenset({status}) for status in FINAL},
}
"""What a status may be followed by; the same status may come with new content unless final."""

ERROR_MESSAGE_BYTES = 64 * 1024

_SCALARS = ("block_type", "name", "robot_id", "message", "progress")
_TIMES: tuple[Literal["start_time"], Literal["end_time"]] = ("start_time", "end_time")

_PARTS: tuple[Literal["input_data", "output_data", "parent"], ...] = (
    "input_data",
    "output_data",
    "parent",
)
"""What a report replaces as a whole."""


@dataclass(slots=True)
class Block:
    """A block as a transaction sees it: its row without payload, and what is known of that.

    `input_data` and `output_data` are what this transaction sets (None: as stored); the digests
    (SHA-256) are those of what is stored or set.
    """

    record: BlockRecord
    input_data: bytes | None = None
    output_data: bytes | None = None
    input_digest: bytes | None = None
    output_digest: bytes | None = None
    stored_input: bytes | None = None
    stored_output: bytes | None = None

    def copy(self) -> "Block":
        record = BlockRecord()
        record.CopyFrom(self.record)
        return replace(self, record=record)


def cut(text: str, limit: int = ERROR_MESSAGE_BYTES) -> str:
    """The beginning of `text` that fits `limit` bytes of UTF-8."""
    if len(text) * 4 <= limit:
        return text
    return text.encode()[:limit].decode(errors="ignore")


def apply(block: Block, report: BlockRecord, parent_id: str, now: Timestamp) -> bool:
    """Puts the report's populated fields into `block`; whether that changed anything.

    `parent_id` is the report's parent, resolved ("": keep). A status of 0 in the block stands for
    one that was never reported. Raises FailedPrecondition where the table forbids the change, with
    the block as it was.
    """
    row = block.record
    before = row.status
    status = report.status or before or PENDING
    if before and status not in TRANSITIONS[before]:
        raise _refused(row, "ILLEGAL_TRANSITION", status)
    if before in FINAL:
        trial = block.copy()
        if _apply_fields(trial.record, report, parent_id) | _apply_payload(trial, report):
            raise _refused(row, "BLOCK_IS_FINAL", status)
        return False
    row.status = status
    changed = _apply_fields(row, report, parent_id) | _apply_payload(block, report)
    changed |= status != before
    if status == RUNNING and not row.HasField("start_time"):
        row.start_time.CopyFrom(now)
    if status in FINAL and not row.HasField("end_time"):
        row.end_time.CopyFrom(now)
    return changed


def is_told_again(block: Block, reports: Iterable[BlockRecord], parent_id: str) -> bool:
    """Whether a final block is what these reports, in order, come to at last.

    Then they were taken before, and whoever sends them has not heard so.
    """
    if block.record.status not in FINAL:
        return False
    at_last = BlockRecord()
    for report in reports:
        for field in (*_PARTS, *_TIMES):
            if report.HasField(field):
                at_last.ClearField(field)  # merging would mix two JSON objects
        at_last.MergeFrom(report)
    try:
        return not apply(block, at_last, parent_id, Timestamp())
    except FailedPrecondition:
        return False


def ends_before_start(report: BlockRecord) -> bool:
    """Whether the report says so itself; what several reports say is kept as they say it."""
    if not (report.HasField("start_time") and report.HasField("end_time")):
        return False
    start, end = report.start_time, report.end_time
    return (end.seconds, end.nanos) < (start.seconds, start.nanos)


def upwards(start: str, parent_of: Callable[[str], str]) -> Iterator[str]:
    """The block's id, its parent's, and so on to the top, each once."""
    seen: set[str] = set()
    while start and start not in seen:
        yield start
        seen.add(start)
        start = parent_of(start)


def _apply_fields(row: BlockRecord, report: BlockRecord, parent_id: str) -> bool:
    changed = False
    for field in _SCALARS:
        value = getattr(report, field)
        if value and value != getattr(row, field):
            setattr(row, field, value)
            changed = True
    error_message = cut(report.error_message)
    if error_message and error_message != row.error_message:
        row.error_message = error_message
        changed = True
    if parent_id and parent_id != row.parent_block_record_id:
        row.parent_block_record_id = parent_id
        changed = True
    for field in _TIMES:
        if report.HasField(field) and getattr(report, field) != getattr(row, field):
            getattr(row, field).CopyFrom(getattr(report, field))
            changed = True
    return changed


def _apply_payload(block: Block, report: BlockRecord) -> bool:
    changed = False
    if report.HasField("input_data"):
        data = report.input_data.SerializeToString(deterministic=True)
        digest = sha256(data).digest()
        if digest != block.input_digest:
            block.input_data, block.input_digest, changed = data, digest, True
    if report.HasField("output_data"):
        data = report.output_data.SerializeToString(deterministic=True)
        digest = sha256(data).digest()
        if digest != block.output_digest:
            block.output_data, block.output_digest, changed = data, digest, True
    return changed


def _refused(row: BlockRecord, reason: str, status: Status) -> FailedPrecondition:
    names = {"from": BlockRecordStatus.Name(row.status), "to": BlockRecordStatus.Name(status)}
    what = (
        "is final and was reported with other content"
        if reason == "BLOCK_IS_FINAL"
        else f"cannot go from {names['from']} to {names['to']}"
    )
    return FailedPrecondition(
        reason, f"block {row.block_id!r} {what}", metadata={**names, "block_id": row.block_id}
    )
