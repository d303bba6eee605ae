"""The life of a block against the contract's table, and how a report changes a block."""

from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st
from vwed.v1.block_record_pb2 import BlockRecord, BlockRecordStatus

from vwed_grpc.domain import blocks
from vwed_grpc.domain.blocks import Block, apply, cut, ends_before_start, is_told_again, upwards
from vwed_grpc.domain.errors import FailedPrecondition

PENDING = BlockRecordStatus.BLOCK_RECORD_STATUS_PENDING
RUNNING = BlockRecordStatus.BLOCK_RECORD_STATUS_RUNNING
PAUSED = BlockRecordStatus.BLOCK_RECORD_STATUS_PAUSED
SUCCEEDED = BlockRecordStatus.BLOCK_RECORD_STATUS_SUCCEEDED
FAILED = BlockRecordStatus.BLOCK_RECORD_STATUS_FAILED
SKIPPED = BlockRecordStatus.BLOCK_RECORD_STATUS_SKIPPED
CANCELED = BlockRecordStatus.BLOCK_RECORD_STATUS_CANCELED
STATUSES = [value for value in BlockRecordStatus.values() if value]
FINAL = [SUCCEEDED, FAILED, SKIPPED, CANCELED]
TABLE: dict[int, list[BlockRecordStatus.ValueType]] = {
    0: STATUSES,  # the first report
    PENDING: [PENDING, RUNNING, PAUSED, *FINAL],
    RUNNING: [RUNNING, PAUSED, *FINAL],
    PAUSED: [PAUSED, RUNNING, *FINAL],
    SUCCEEDED: [SUCCEEDED],
    FAILED: [FAILED],
    SKIPPED: [SKIPPED],
    CANCELED: [CANCELED],
}
NOW = Timestamp(seconds=1_700_000_000, nanos=123_000)
EARLIER = Timestamp(seconds=1_600_000_000)


def json(**members: float) -> Struct:
    data = Struct()
    data.update(members)
    return data


def content(number: float) -> Struct:
    return json(n=number)


def reported(**fields: Any) -> Block:
    """A block as it stands after one report."""
    block = Block(BlockRecord())
    apply(block, BlockRecord(**fields), "", EARLIER)
    return block


@pytest.mark.parametrize("after", STATUSES, ids=BlockRecordStatus.Name)
@pytest.mark.parametrize("before", TABLE)
def test_a_status_is_followed_by_what_the_contract_says(
    before: BlockRecordStatus.ValueType, after: BlockRecordStatus.ValueType
) -> None:
    block = Block(BlockRecord(block_id="a", status=before))
    report = BlockRecord(block_id="a", status=after)
    if after in TABLE[before]:
        assert apply(block, report, "", NOW) == (before != after)
        assert block.record.status == after
    else:
        with pytest.raises(FailedPrecondition) as refused:
            apply(block, report, "", NOW)
        assert refused.value.reason == "ILLEGAL_TRANSITION"
        names = {"from": BlockRecordStatus.Name(before), "to": BlockRecordStatus.Name(after)}
        assert refused.value.metadata == {**names, "block_id": "a"}
        assert refused.value.message == "block 'a' cannot go from {from} to {to}".format_map(names)


def test_the_final_ones_are_those_of_the_table() -> None:
    assert set(FINAL) == blocks.FINAL


def test_a_first_report_without_a_status_is_pending() -> None:
    assert reported(message="waits").record.status == PENDING


FULL: dict[str, Any] = {
    "block_type": "move",
    "name": "to the shelf",
    "robot_id": "amr-7",
    "message": "half way",
    "error_message": "slipped",
    "progress": 0.5,
    "start_time": Timestamp(seconds=1),
    "end_time": Timestamp(seconds=2),
}


@pytest.mark.parametrize("field", FULL)
def test_a_populated_field_is_set_and_the_others_keep(field: str) -> None:
    others = {name: value for name, value in FULL.items() if name != field}
    block = reported(status=RUNNING, **others)
    assert apply(block, BlockRecord(**{field: FULL[field]}), "", NOW)
    assert block.record == BlockRecord(status=RUNNING, **FULL)
    assert not apply(block, BlockRecord(**{field: FULL[field]}), "", NOW)
    assert not apply(block, BlockRecord(), "", NOW)
    assert block.record == BlockRecord(status=RUNNING, **FULL)


def test_the_parent_is_set_and_kept() -> None:
    block = reported(status=RUNNING)
    assert apply(block, BlockRecord(), "parent-1", NOW)
    assert not apply(block, BlockRecord(), "parent-1", NOW)
    assert not apply(block, BlockRecord(), "", NOW)
    assert block.record.parent_block_record_id == "parent-1"


def test_payload_is_a_change_only_if_its_content_differs() -> None:
    block = reported(status=RUNNING, input_data=content(1))
    assert not apply(block, BlockRecord(input_data=content(1)), "", NOW)
    assert apply(block, BlockRecord(input_data=content(2)), "", NOW)
    assert apply(block, BlockRecord(output_data=content(1)), "", NOW)
    assert not apply(block, BlockRecord(output_data=content(1)), "", NOW)
    assert block.input_data == content(2).SerializeToString()
    assert block.output_data == content(1).SerializeToString()


def test_members_have_no_order() -> None:
    one, other = Struct(), Struct()
    for n in range(100):
        one[f"member-{n}"] = n
        other[f"member-{99 - n}"] = 99 - n
    block = reported(status=RUNNING, input_data=one, output_data=one)
    assert not apply(block, BlockRecord(input_data=other, output_data=other), "", NOW)


def test_an_empty_payload_is_content_too() -> None:
    block = reported(status=RUNNING, output_data=content(1))
    assert apply(block, BlockRecord(output_data=Struct()), "", NOW)
    assert block.output_data == b""


@pytest.mark.parametrize("final", FINAL, ids=BlockRecordStatus.Name)
def test_a_final_block_takes_the_same_content_alone(final: BlockRecordStatus.ValueType) -> None:
    report = BlockRecord(status=final, output_data=content(1), **FULL)
    block = reported(status=final, output_data=content(1), **FULL)
    assert not apply(block, report, "", NOW)
    assert not apply(block, BlockRecord(status=final), "", NOW)
    for other in (
        BlockRecord(status=final, message="other"),
        BlockRecord(message="other"),
        BlockRecord(output_data=content(2)),
        BlockRecord(end_time=Timestamp(seconds=3)),
    ):
        with pytest.raises(FailedPrecondition) as refused:
            apply(block.copy(), other, "", NOW)
        assert refused.value.reason == "BLOCK_IS_FINAL"
        assert "other content" in refused.value.message


def test_times_not_given_are_the_servers_at_the_first_running_and_at_the_end() -> None:
    block = reported(status=PENDING)
    assert not block.record.HasField("start_time")
    apply(block, BlockRecord(status=RUNNING), "", EARLIER)
    apply(block, BlockRecord(status=PAUSED), "", NOW)
    apply(block, BlockRecord(status=RUNNING), "", NOW)
    assert block.record.start_time == EARLIER
    assert not block.record.HasField("end_time")
    apply(block, BlockRecord(status=SUCCEEDED), "", NOW)
    assert (block.record.start_time, block.record.end_time) == (EARLIER, NOW)


def test_a_block_that_never_ran_has_no_start() -> None:
    block = reported(status=SKIPPED)
    assert not block.record.HasField("start_time")
    assert block.record.end_time == EARLIER


def test_times_given_win() -> None:
    began, ended = Timestamp(seconds=1), Timestamp(seconds=2)
    block = reported(status=RUNNING, start_time=began)
    apply(block, BlockRecord(status=FAILED, end_time=ended), "", NOW)
    assert block.record == BlockRecord(status=FAILED, start_time=began, end_time=ended)


@pytest.mark.parametrize("character", ["x", "ä", "路", "🤖"])
def test_an_error_message_is_cut_at_a_character(character: str) -> None:
    width = len(character.encode())
    block = reported(status=FAILED, error_message="-" + character * 70_000)
    kept = block.record.error_message
    assert kept == "-" + character * ((64 * 1024 - 1) // width)
    # The same long message again is the same content.
    again = BlockRecord(status=FAILED, error_message="-" + character * 70_000)
    assert not apply(block, again, "", NOW)


@given(st.text(), st.integers(0, 40))
def test_a_cut_is_the_longest_beginning_that_fits(text: str, limit: int) -> None:
    kept = cut(text, limit)
    assert text.startswith(kept)
    assert len(kept.encode()) <= limit
    assert kept == text or len(text[: len(kept) + 1].encode()) > limit


def test_a_copy_is_apart() -> None:
    block = reported(status=RUNNING, message="one")
    copy = block.copy()
    apply(copy, BlockRecord(message="two", input_data=content(1)), "", NOW)
    assert (block.record.message, block.input_digest) == ("one", None)


DONE: dict[str, Any] = {"status": SUCCEEDED, "message": "done", "output_data": content(2)}


@pytest.mark.parametrize(
    ("reports", "told_again"),
    [
        ([DONE], True),
        ([{"status": RUNNING, "message": "on"}, {}, DONE], True),
        # Of payload and times the last counts, whole; of the rest what was said last.
        ([{"output_data": content(1), "message": "done"}, {"status": SUCCEEDED}], False),
        ([{"output_data": json(a=1)}, {"output_data": content(2)}, {"status": SUCCEEDED}], True),
        ([{"start_time": NOW}, {"start_time": EARLIER, "status": SUCCEEDED}], True),
        ([{"start_time": EARLIER}, {"start_time": NOW, "status": SUCCEEDED}], False),
        ([DONE, {"message": "more"}], False),
        ([{**DONE, "status": FAILED}], False),
        ([], True),
    ],
)
def test_a_final_block_is_told_again(reports: list[dict[str, Any]], told_again: bool) -> None:
    block = reported(start_time=EARLIER, **DONE)
    before = block.copy()
    messages = [BlockRecord(block_id="a", **report) for report in reports]
    assert is_told_again(block, messages, "") == told_again
    assert block == before


def test_a_block_that_is_open_or_elsewhere_is_not_told_again() -> None:
    assert not is_told_again(reported(status=RUNNING), [BlockRecord(status=RUNNING)], "")
    block = reported(**DONE)
    assert not is_told_again(block, [BlockRecord(**DONE)], "a parent")


@pytest.mark.parametrize(
    ("start", "end", "before"),
    [
        ((5, 0), (5, 0), False),
        ((5, 0), (5, 1_000), False),
        ((5, 1_000), (5, 0), True),
        ((5, 0), (4, 9_000), True),
        ((5, 9_000), (6, 0), False),
        (None, (1, 0), False),
        ((5, 0), None, False),
    ],
)
def test_an_end_before_the_start(
    start: tuple[int, int] | None, end: tuple[int, int] | None, before: bool
) -> None:
    report = BlockRecord()
    for name, at in (("start_time", start), ("end_time", end)):
        if at is not None:
            getattr(report, name).CopyFrom(Timestamp(seconds=at[0], nanos=at[1]))
    assert ends_before_start(report) == before


def test_upwards_each_comes_once() -> None:
    parents = {"a": "b", "b": "c", "c": ""}
    assert list(upwards("a", parents.__getitem__)) == ["a", "b", "c"]
    assert list(upwards("a", {**parents, "c": "b"}.__getitem__)) == ["a", "b", "c"]
    assert list(upwards("", parents.__getitem__)) == []
