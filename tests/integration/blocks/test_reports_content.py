"""Reports: what a block becomes, what is an event, and what is the same content again."""

from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import StatusCode
from vwed.v1.block_record_pb2 import BlockRecord, BlockRecordKey
from vwed.v1.record_service_pb2 import (
    GetBlockRecordRequest,
    ReportBlockRequest,
    ReportBlockResponse,
)

from tests.support.steps import (
    block,
    blocks_of,
    everything,
    get,
    history,
    refused,
    report,
    running,
    struct,
)
from vwed.client import Client
from vwed_grpc.domain import lifecycle
from vwed_grpc.domain.blocks import (
    CANCELED,
    FAILED,
    PAUSED,
    PENDING,
    RUNNING,
    SKIPPED,
    SUCCEEDED,
)


async def report_one(client: Client, run: str, reported: BlockRecord) -> ReportBlockResponse:
    return await client.records.ReportBlock(
        ReportBlockRequest(task_record_id=run, block_record=reported)
    )


async def test_a_first_report_makes_a_block(client: Client) -> None:
    run = await running(client)
    answer = await report_one(
        client,
        run.id,
        block(
            "a",
            RUNNING,
            block_type="move",
            name="to the shelf",
            iteration="2.1",
            robot_id="amr-7",
            message="half way",
            progress=0.5,
            input_data={"to": "A1"},
            output_data={},
        ),
    )
    made = answer.block_record
    now = made.create_time
    assert made == BlockRecord(
        id=made.id,
        task_record_id=run.id,
        block_id="a",
        block_type="move",
        name="to the shelf",
        status=RUNNING,
        iteration="2.1",
        attempt=1,
        robot_id="amr-7",
        message="half way",
        progress=0.5,
        input_data=struct({"to": "A1"}),
        output_data=struct({}),
        start_time=now,
        first_seq=3,
        seq=3,
        create_time=now,
        update_time=now,
    )
    assert (answer.seq, answer.task_record_status) == (3, lifecycle.RUNNING)
    assert await blocks_of(client, run.id) == [made]
    got = await client.records.GetBlockRecord(
        GetBlockRecordRequest(task_record_id=run.id, id=made.id)
    )
    assert got == made
    event = (await history(client, run.id))[-1]
    assert (event.block_record, event.event_time, event.actor) == (made, now, "tester")
    assert (await get(client, run.id)).seq == 3


async def test_what_the_service_sets_cannot_be_given(client: Client) -> None:
    run = await running(client)
    forged = BlockRecord(id="mine", task_record_id="other", first_seq=9, seq=9)
    forged.create_time.seconds = forged.update_time.seconds = 1
    forged.MergeFrom(block("a", RUNNING))
    made = (await report_one(client, run.id, forged)).block_record
    assert (made.task_record_id, made.first_seq, made.seq) == (run.id, 3, 3)
    assert made.id != "mine"
    assert made.create_time == made.update_time == made.start_time
    assert made.create_time.seconds > 1
    # Nor does its id say which block is meant.
    other = (await report_one(client, run.id, block("b", id=made.id))).block_record
    assert (other.block_id, other.first_seq) == ("b", 4)
    assert other.id != made.id


@pytest.mark.parametrize("status", [PENDING, RUNNING, PAUSED, SUCCEEDED, FAILED, SKIPPED, CANCELED])
async def test_a_first_report_may_carry_any_status(client: Client, status: Any) -> None:
    run = await running(client)
    made = (await report_one(client, run.id, block("a", status))).block_record
    assert made.status == status
    assert made.HasField("start_time") == (status == RUNNING)
    assert made.HasField("end_time") == (status in (SUCCEEDED, FAILED, SKIPPED, CANCELED))


async def test_reports_set_what_they_carry_and_keep_the_rest(client: Client) -> None:
    run = await running(client)
    await report_one(
        client, run.id, block("a", RUNNING, robot_id="amr-7", message="one", input_data={"x": 1})
    )
    after = (await report_one(client, run.id, block("a", message="two"))).block_record
    assert (after.status, after.robot_id, after.message) == (RUNNING, "amr-7", "two")
    assert after.input_data == struct({"x": 1})
    assert (after.first_seq, after.seq) == (3, 4)
    assert await blocks_of(client, run.id) == [after]
    await report_one(client, run.id, block("a", SUCCEEDED, output_data={"y": 2}))
    ended = (await blocks_of(client, run.id))[0]
    assert (ended.input_data, ended.output_data) == (struct({"x": 1}), struct({"y": 2}))
    assert ended.start_time == after.start_time
    assert ended.end_time == ended.update_time


async def test_events_carry_only_the_payload_that_was_set(client: Client) -> None:
    run = await running(client)
    for reported in (
        block("a", RUNNING, input_data={"x": 1}),
        block("a", message="on"),
        block("a", output_data={"y": 1}),
        block("a", SUCCEEDED, input_data={"x": 1}, output_data={"y": 2}),
    ):
        await report_one(client, run.id, reported)
    told = [event.block_record for event in (await history(client, run.id))[2:]]
    payloads = [
        {k: v for k, v in MessageToDict(t).items() if k in ("inputData", "outputData")}
        for t in told
    ]
    assert payloads == [
        {"inputData": {"x": 1}},
        {},
        {"outputData": {"y": 1}},
        {"outputData": {"y": 2}},
    ]


async def test_the_empty_object_replaces_a_payload(client: Client) -> None:
    run = await running(client)
    await report_one(client, run.id, block("a", RUNNING, output_data={"y": 1}))
    after = (await report_one(client, run.id, block("a", output_data={}))).block_record
    assert after.HasField("output_data")
    assert after.output_data == struct({})
    assert await blocks_of(client, run.id) == [after]


@pytest.mark.parametrize(
    "again",
    [
        {},
        {"status": RUNNING},
        {"message": "one"},
        {"status": RUNNING, "message": "one", "input_data": {"a": 1, "b": 2}},
        {"input_data": {"b": 2, "a": 1}},
        {"start_time": Timestamp(seconds=5, nanos=1000)},
    ],
)
async def test_the_same_content_again_writes_nothing(client: Client, again: dict[str, Any]) -> None:
    run = await running(client)
    first = await report_one(
        client,
        run.id,
        block(
            "a",
            RUNNING,
            message="one",
            input_data={"a": 1, "b": 2},
            start_time=Timestamp(seconds=5, nanos=1000),
        ),
    )
    before = await everything(client, run.id)
    answer = await report_one(client, run.id, block("a", **again))
    assert (answer.block_record, answer.seq) == (first.block_record, first.seq)
    assert await everything(client, run.id) == before


async def test_a_final_block_again_is_no_change(client: Client) -> None:
    run = await running(client)
    final = block("a", FAILED, error_message="x" * 70_000, output_data={"y": 1})
    first = await report_one(client, run.id, final)
    assert len(first.block_record.error_message) == 65_536
    before = await everything(client, run.id)
    assert await report_one(client, run.id, final) == first
    assert await report_one(client, run.id, block("a", FAILED)) == first
    assert await everything(client, run.id) == before


async def test_a_block_may_stand_several_times_in_one_batch(client: Client) -> None:
    run = await running(client)
    answer = await report(
        client,
        run.id,
        block("a", message="one"),
        block("a", RUNNING, input_data={"x": 1}),
        block("b", RUNNING),
        block("a", RUNNING),  # nothing new
        block("a", SUCCEEDED, output_data={"y": 1}),
    )
    assert list(answer.seqs) == [3, 4, 5, 4, 6]
    told = (await history(client, run.id))[2:]
    assert [(e.block_record.block_id, e.block_record.status) for e in told] == [
        ("a", PENDING),
        ("a", RUNNING),
        ("b", RUNNING),
        ("a", SUCCEEDED),
    ]
    assert [e.block_record.message for e in told] == ["one", "one", "", "one"]
    assert len({e.event_time.ToNanoseconds() for e in told}) == 1
    a, b = await blocks_of(client, run.id)
    assert (a.status, a.first_seq, a.seq, b.first_seq) == (SUCCEEDED, 3, 6, 5)
    assert (a.input_data, a.output_data) == (struct({"x": 1}), struct({"y": 1}))


async def test_a_batch_again_changes_nothing_whatever_blocks_were_in_it(client: Client) -> None:
    """Who lost the answer sends it as it was: of blocks that have ended, the beginning too."""
    run = await running(client)
    await report(client, run.id, block("before", RUNNING, input_data={"x": 1, "y": 2}))
    batch = (
        block("before", message="halfway", input_data={"x": 3}),
        block("a", RUNNING, input_data={"x": 1}),
        block("b", RUNNING, parent=BlockRecordKey(block_id="a")),
        block("b", progress=0.5, message="halfway"),
        block("b", PAUSED),
        block("b", SUCCEEDED, progress=1, output_data={"y": 1}),
        block("before", FAILED, error_message="no way", input_data={"x": 2}),
        block("a", CANCELED),
        block("c", SKIPPED),
        block("d", RUNNING),
        block("e", RUNNING, attempt=1),
        block("e", FAILED, attempt=1),
        block("e", RUNNING, attempt=2),
        block("e", SUCCEEDED, attempt=2),
    )
    first = await report(client, run.id, *batch)
    before = await everything(client, run.id)
    again = await report(client, run.id, *batch)
    assert list(again.block_records) == list(first.block_records)
    assert await everything(client, run.id) == before


async def test_a_batch_with_another_parent_is_not_the_same_again(client: Client) -> None:
    run = await running(client)
    await report(client, run.id, block("p", RUNNING), block("q", RUNNING))
    below = [BlockRecordKey(block_id=name) for name in "pq"]
    first, other = (
        (block("a", RUNNING, parent=parent), block("a", SUCCEEDED, parent=parent))
        for parent in below
    )
    await report(client, run.id, *first)
    before = await everything(client, run.id)
    with refused(StatusCode.FAILED_PRECONDITION):
        await report(client, run.id, *other)
    await report(client, run.id, *first)
    assert await everything(client, run.id) == before


@pytest.mark.parametrize(
    "batch",
    [
        [block("a", RUNNING), block("a", SUCCEEDED, output_data={"y": 2})],
        [block("a", RUNNING), block("a", FAILED)],
        [block("a", RUNNING, input_data={"x": 2}), block("a", SUCCEEDED)],
        [block("a", SUCCEEDED), block("a", RUNNING)],
        [block("a", RUNNING), block("a", SUCCEEDED, attempt=2)],
        [block("b", SUCCEEDED), block("b", RUNNING)],
    ],
    ids=["output", "status", "input", "order", "attempt", "within it"],
)
async def test_a_batch_that_says_something_else_of_ended_blocks_is_refused(
    client: Client, batch: list[BlockRecord]
) -> None:
    run = await running(client)
    await report(
        client,
        run.id,
        block("a", RUNNING, input_data={"x": 1}),
        block("a", SUCCEEDED, output_data={"y": 1}),
    )
    before = await everything(client, run.id)
    with refused(StatusCode.FAILED_PRECONDITION, "ILLEGAL_TRANSITION"):
        await report(client, run.id, *batch)
    assert await everything(client, run.id) == before


async def test_many_are_answered_without_payload_and_one_with_it(client: Client) -> None:
    run = await running(client)
    await report(client, run.id, block("a", RUNNING, input_data={"x": 1}))
    many = await report(client, run.id, block("a", message="one"), block("b", output_data={"y": 1}))
    assert [b.block_id for b in many.block_records] == ["a", "b"]
    for answered in many.block_records:
        assert not answered.HasField("input_data")
        assert not answered.HasField("output_data")
    one = await report_one(client, run.id, block("a", message="two"))
    assert one.block_record.input_data == struct({"x": 1})


async def test_times_given_are_kept(client: Client) -> None:
    run = await running(client)
    began, ended = Timestamp(seconds=1_000, nanos=5_000), Timestamp(seconds=2_000)
    await report(client, run.id, block("a", RUNNING, start_time=began))
    await report(client, run.id, block("a", SUCCEEDED, end_time=ended))
    (made,) = await blocks_of(client, run.id)
    assert (made.start_time, made.end_time) == (began, ended)


async def test_times_not_given_are_the_first_running_and_the_end(client: Client) -> None:
    run = await running(client)
    statuses = (PENDING, RUNNING, PAUSED, RUNNING, SUCCEEDED)
    seen = [(await report_one(client, run.id, block("a", s))).block_record for s in statuses]
    assert seen[-1].start_time == seen[1].update_time
    assert seen[-1].end_time == seen[4].update_time
    assert [s.HasField("end_time") for s in seen] == [False, False, False, False, True]


async def test_a_parent_is_named_by_its_key_or_its_id(client: Client) -> None:
    run = await running(client)
    await report(
        client,
        run.id,
        block("loop", RUNNING),
        block("step", RUNNING, iteration="1", parent=BlockRecordKey(block_id="loop")),
        block("loop", FAILED),
        block("loop", RUNNING, attempt=2),
        block("step", iteration="2", parent=BlockRecordKey(block_id="loop", attempt=2)),
        block("deep", iteration="1", parent=BlockRecordKey(block_id="step", iteration="1")),
    )
    made = {(b.block_id, b.iteration, b.attempt): b for b in await blocks_of(client, run.id)}
    assert made["step", "1", 1].parent_block_record_id == made["loop", "", 1].id
    assert made["step", "2", 1].parent_block_record_id == made["loop", "", 2].id
    assert made["deep", "1", 1].parent_block_record_id == made["step", "1", 1].id
    assert made["loop", "", 1].parent_block_record_id == ""
    by_id = block("late", parent_block_record_id=made["loop", "", 2].id)
    by_key = block("step", SUCCEEDED, iteration="1", parent=BlockRecordKey(block_id="loop"))
    answer = await report(client, run.id, by_id, by_key)
    parents = [b.parent_block_record_id for b in answer.block_records]
    assert parents == [made["loop", "", 2].id, made["loop", "", 1].id]
    assert not any(b.HasField("parent") for b in answer.block_records)
    kept = await report_one(client, run.id, block("late", RUNNING))
    assert kept.block_record.parent_block_record_id == made["loop", "", 2].id


async def test_iterations_and_attempts_are_blocks_of_their_own(client: Client) -> None:
    run = await running(client)
    first = await report(
        client,
        run.id,
        block("a", FAILED),
        block("a", RUNNING, attempt=2),
        block("a", RUNNING, iteration="1"),
        block("a", RUNNING, iteration="1.2", attempt=3),
    )
    assert [b.attempt for b in first.block_records] == [1, 2, 1, 3]
    assert len({b.id for b in first.block_records}) == 4
    again = await report(client, run.id, block("a", FAILED), block("a", FAILED, attempt=1))
    assert {b.id for b in again.block_records} == {first.block_records[0].id}  # 0 is 1
    assert len(await blocks_of(client, run.id)) == 4


async def test_reports_may_name_blocks_that_the_config_does_not_have(client: Client) -> None:
    run = await running(client)
    await report(client, run.id, block("路/🤖 nowhere in the config", RUNNING))
    assert [b.block_id for b in await blocks_of(client, run.id)] == ["路/🤖 nowhere in the config"]
