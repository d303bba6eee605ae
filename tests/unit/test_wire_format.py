"""Fields that are put together as bytes are what protobuf would have written."""

from collections import Counter

import pytest
from google.protobuf.empty_pb2 import Empty
from google.protobuf.unknown_fields import UnknownFieldSet
from hypothesis import given
from hypothesis import strategies as st
from vwed.v1.block_record_pb2 import BlockRecord
from vwed.v1.task_record_event_pb2 import TaskRecordEvent
from vwed.v1.task_record_pb2 import BlockCounts, TaskRecord

from vwed_grpc.domain.wire_format import field, first_text, merged

SIZES = (0, 1, 127, 128, 16_383, 16_384, 20_000)


@pytest.mark.parametrize("size", SIZES)
def test_a_field_made_by_hand_is_what_protobuf_writes(size: int) -> None:
    by_hand = field(TaskRecordEvent.REASON_FIELD_NUMBER, b"x" * size)
    assert TaskRecordEvent.FromString(by_hand) == TaskRecordEvent(reason="x" * size)
    assert size == 0 or by_hand == TaskRecordEvent(reason="x" * size).SerializeToString()


@given(
    st.builds(
        TaskRecordEvent,
        task_record_id=st.text(max_size=4),
        seq=st.integers(0, 2**63 - 1),
        actor=st.text(max_size=200),
        progress=st.none() | st.floats(0, 1),
    ),
    st.sampled_from(SIZES),
    st.sampled_from(SIZES),
    st.booleans(),
    st.none() | st.integers(0, 2**31 - 1),
)
def test_a_payload_joins_the_field_that_it_belongs_to(
    head: TaskRecordEvent, stored: int, added: int, of_a_run: bool, tail: int | None
) -> None:
    """As events are stored: the head, what changed, and what the last one of a report says more."""
    change, more = TaskRecordEvent(), TaskRecordEvent()
    if of_a_run:
        change.task_record.CopyFrom(TaskRecord(error_message="x" * stored))
        more.task_record.CopyFrom(TaskRecord(message="y" * added))
    else:
        change.block_record.CopyFrom(BlockRecord(error_message="x" * stored))
        more.block_record.CopyFrom(BlockRecord(message="y" * added))
    event, payload = head.SerializeToString() + change.SerializeToString(), more.SerializeToString()
    if tail is not None:
        counts = BlockCounts(total=tail)
        event += TaskRecordEvent(block_counts=counts).SerializeToString()
    full = merged(event, payload)
    assert TaskRecordEvent.FromString(full) == TaskRecordEvent.FromString(event + payload)
    fields = UnknownFieldSet(Empty.FromString(full))
    times = Counter(fields[n].field_number for n in range(len(fields)))
    assert set(times.values()) == {1}


def test_a_payload_without_its_field_is_refused() -> None:
    event = TaskRecordEvent(task_record_id="r", seq=300, progress=0.5)
    event.block_record.SetInParent()
    payload = TaskRecordEvent(task_record=TaskRecord(message="x"))
    with pytest.raises(ValueError, match="no field 8"):
        merged(event.SerializeToString(), payload.SerializeToString())


@pytest.mark.parametrize("text", ["", "run-1", "空托盘" * 100])
def test_the_first_text_is_that_of_field_1(text: str) -> None:
    assert first_text(TaskRecordEvent(task_record_id=text, seq=3).SerializeToString()) == text
    assert first_text(TaskRecordEvent(seq=3).SerializeToString()) == ""
    assert first_text(field(1, b"\xff" + text.encode())) == "\ufffd" + text
