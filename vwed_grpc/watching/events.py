"""Events of a run's history, built as bytes: each is serialized once, however many watch it."""

from collections.abc import Sequence
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp
from vwed.v1.block_record_pb2 import BlockRecord
from vwed.v1.record_service_pb2 import WatchTaskRecordResponse
from vwed.v1.task_record_event_pb2 import TaskRecordDeleted, TaskRecordEvent, TaskRecordSignal
from vwed.v1.task_record_pb2 import BlockCounts, TaskRecord

from vwed_grpc.domain.field_mask import apply_mask
from vwed_grpc.domain.wire_format import field
from vwed_grpc.domain.wire_pieces import PIECE
from vwed_grpc.storage.events import Event, Kind

MAX_MESSAGE_BYTES = 3 << 20
_BASIC = frozenset(TaskRecord.DESCRIPTOR.fields_by_name) - {"input", "result"}
"""What a run's basic view has."""
_LARGE_BYTES, _LARGE_NUMBER = 1 << 20, 1000


def _header(run: str, seq: int, now: Timestamp, actor: str, reason: str) -> TaskRecordEvent:
    return TaskRecordEvent(task_record_id=run, seq=seq, event_time=now, actor=actor, reason=reason)


def progress_of(counts: BlockCounts, progress: float) -> bytes:
    """What the last event of a report carries besides: the run's counts and progress."""
    return TaskRecordEvent(block_counts=counts, progress=progress).SerializeToString()


def run_event(
    record: TaskRecord,
    group_seq: int,
    actor: str,
    reason: str,
    *,
    kind: Kind = Kind.RUN,
    input_set: bool = False,
    result_set: bool = False,
) -> Event:
    """The run after a change of its own, which has the seq `record.seq`."""
    head = _header(record.id, record.seq, record.update_time, actor, reason)
    head.block_counts.CopyFrom(record.block_counts)
    head.progress = record.progress
    payload = b""
    if input_set:
        payload += field(TaskRecord.INPUT_FIELD_NUMBER, record.input.SerializeToString())
    if result_set and record.HasField("result"):
        payload += field(TaskRecord.RESULT_FIELD_NUMBER, record.result.SerializeToString())
    return _event(
        head, group_seq, kind, TaskRecordEvent.TASK_RECORD_FIELD_NUMBER, basic_run(record), payload
    )


def basic_run(record: TaskRecord) -> bytes:
    """The run without its payload, serialized."""
    slim = TaskRecord()
    if record.ByteSize() <= PIECE:
        slim.CopyFrom(record)
        slim.ClearField("input")
        slim.ClearField("result")
    else:  # that would copy what is large
        apply_mask(slim, record, _BASIC)
    return slim.SerializeToString()


def block_event(
    run: str,
    record: BlockRecord,
    group_seq: int,
    actor: str,
    reason: str,
    input_data: bytes | None = None,
    output_data: bytes | None = None,
) -> Event:
    """A block (a row without payload) after a change, which has the seq `record.seq`."""
    payload = b""
    if input_data is not None:
        payload += field(BlockRecord.INPUT_DATA_FIELD_NUMBER, input_data)
    if output_data is not None:
        payload += field(BlockRecord.OUTPUT_DATA_FIELD_NUMBER, output_data)
    return _event(
        _header(run, record.seq, record.update_time, actor, reason),
        group_seq,
        Kind.BLOCK,
        TaskRecordEvent.BLOCK_RECORD_FIELD_NUMBER,
        record.SerializeToString(),
        payload,
    )


def signal_event(record: TaskRecord, signal: TaskRecordSignal, actor: str, reason: str) -> Event:
    head = _header(record.id, record.seq, record.update_time, actor, reason)
    return _event(
        head,
        record.seq,
        Kind.SIGNAL,
        TaskRecordEvent.SIGNAL_FIELD_NUMBER,
        signal.SerializeToString(),
        b"",
    )


def deleted_event(record: TaskRecord, actor: str, reason: str) -> Event:
    head = _header(record.id, record.seq, record.update_time, actor, reason)
    return _event(
        head,
        record.seq,
        Kind.DELETED,
        TaskRecordEvent.DELETED_FIELD_NUMBER,
        TaskRecordDeleted().SerializeToString(),
        b"",
    )


def _event(
    head: TaskRecordEvent, group_seq: int, kind: Kind, number: int, change: bytes, payload: bytes
) -> Event:
    return Event(
        seq=head.seq,
        group_seq=group_seq,
        kind=kind,
        event=head.SerializeToString() + field(number, change),
        payload=field(number, payload) if payload else None,
    )


@dataclass(frozen=True, slots=True)
class Batch:
    """What a watcher is sent next."""

    messages: list[bytes]
    """Serialized WatchTaskRecordResponses."""
    end: int
    """The seq of the last event in them."""
    closed_by: int | None
    """FINISHED or DELETED: watches of the run end here."""


def batch(events: Sequence[Event], *, full: bool) -> Batch:
    """The events up to the one that ends watches, in messages."""
    for n, event in enumerate(events):
        if event.kind == Kind.FINISHED:
            return Batch(messages(events[: n + 1], full=full), event.seq, Kind.FINISHED)
        if event.kind == Kind.DELETED:
            return Batch(messages(events[:n], full=full), event.seq, Kind.DELETED)
    return Batch(messages(events, full=full), events[-1].seq, None)


def is_large(events: Sequence[Event]) -> bool:
    """It takes long to put them into messages: that is done in a thread, beside the event loop."""
    return len(events) > _LARGE_NUMBER or sum(event.size for event in events) > _LARGE_BYTES


_EVENTS = WatchTaskRecordResponse.EVENTS_FIELD_NUMBER
_MORE = WatchTaskRecordResponse(more=True).SerializeToString()


def messages(events: Sequence[Event], *, full: bool) -> list[bytes]:
    """WatchTaskRecordResponses of the events: groups together, 3 MiB at most unless one event.

    A message that ends within a group says `more`; so does the last one if the group goes on after
    `events`.
    """
    out: list[bytes] = []
    parts: list[bytes] = []
    size = whole = 0  # bytes in parts; how many of the parts belong to complete groups
    for event in events:
        part = field(_EVENTS, event.body(full=full))
        while parts and size + len(part) > MAX_MESSAGE_BYTES:
            # Between two groups if there is such a place, else within the group.
            sent = whole or len(parts)
            out.append(b"".join(parts[:sent]) + (b"" if whole else _MORE))
            parts = parts[sent:]
            size, whole = sum(map(len, parts)), 0
        parts.append(part)
        size += len(part)
        if event.seq == event.group_seq:
            whole = len(parts)
    if parts:
        out.append(b"".join(parts) + (b"" if whole == len(parts) else _MORE))
    return out
