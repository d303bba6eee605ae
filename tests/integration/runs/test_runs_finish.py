"""FinishTaskRecord: how a run ends, what its end does to its blocks, and ends that are refused."""

from typing import Any

import pytest
from grpc import StatusCode
from vwed.v1.record_service_pb2 import FinishTaskRecordRequest
from vwed.v1.task_record_pb2 import BlockCounts, TaskRecord

from tests.support.steps import (
    block,
    blocks_of,
    create,
    everything,
    get,
    history,
    let_lease_run_out,
    refused,
    report,
    running,
    struct,
    until,
)
from vwed.client import Client
from vwed_grpc.domain import blocks
from vwed_grpc.domain.lifecycle import (
    CANCELED,
    FAILED,
    INTERRUPTED,
    PENDING,
    RUNNING,
    SUCCEEDED,
    Status,
)


async def finish(client: Client, run: str, status: Status, **fields: Any) -> TaskRecord:
    if "result" in fields:
        fields["result"] = struct(fields["result"])
    return await client.records.FinishTaskRecord(
        FinishTaskRecordRequest(id=run, status=status, **fields)
    )


@pytest.mark.parametrize("status", [SUCCEEDED, FAILED, CANCELED])
async def test_an_end_is_kept(client: Client, status: Status) -> None:
    run = await running(client, lease=60)
    after = await finish(
        client,
        run.id,
        status,
        result={"moved": 3},
        error_message="none",
        error_code="E7",
        reason="done",
        executor_id="robot-1",
        lease_epoch=1,
    )
    assert (after.status, after.result) == (status, struct({"moved": 3}))
    assert (after.error_message, after.error_code) == ("none", "E7")
    assert (after.status_actor, after.status_reason) == ("tester", "done")
    assert after.end_time == after.update_time
    assert after.progress == (1 if status == SUCCEEDED else 0)
    assert not after.HasField("lease_expire_time")
    assert (after.executor_id, after.lease_epoch) == ("robot-1", 1)
    assert after.etag != run.etag
    assert await get(client, run.id) == after
    event = (await history(client, run.id))[-1]
    after.ClearField("input")  # payload is told only by the change that set it
    assert event.task_record == after


async def test_open_blocks_are_canceled_before_the_run_ends(client: Client) -> None:
    run = await running(client)
    await report(
        client,
        run.id,
        block("a", blocks.SUCCEEDED),
        block("b", blocks.RUNNING, input_data={"x": 1}),
        block("c", blocks.FAILED),
        block("c", blocks.PAUSED, attempt=2),
        block("b", blocks.PENDING, iteration="1"),
        block("d", blocks.PAUSED),
        block("d", blocks.SKIPPED, attempt=2),
        block("e", blocks.CANCELED),
    )
    after = await finish(client, run.id, FAILED, reason="stuck")
    assert after.seq == 2 + 8 + 4 + 1
    told = (await history(client, run.id))[-5:]
    closed = [(e.block_record.block_id, e.block_record.iteration) for e in told[:-1]]
    assert closed == [("b", ""), ("c", ""), ("b", "1"), ("d", "")]
    for event in told[:-1]:
        assert event.block_record.status == blocks.CANCELED
        assert event.block_record.end_time == after.end_time
        assert event.block_record.seq == event.seq
        assert not event.block_record.HasField("input_data")
        assert (event.actor, event.reason) == ("tester", "stuck")
    assert told[-1].task_record.status == FAILED
    stored = {(b.block_id, b.iteration, b.attempt): b for b in await blocks_of(client, run.id)}
    assert [stored[b.block_id, b.iteration, b.attempt].seq for b in stored.values()] == [
        3, 11, 5, 12, 13, 14, 9, 10
    ]  # fmt: skip
    assert stored["b", "", 1].input_data == struct({"x": 1})
    # Of d, which was tried again, the first attempt was open: it is closed and not counted.
    counts = BlockCounts(succeeded=1, canceled=4, skipped=1, total=6)
    assert after.block_counts == told[-1].block_counts == counts
    assert after.progress == told[-1].progress == 1


async def test_blocks_never_reported_stay_unreported(client: Client) -> None:
    run = await running(client)
    after = await finish(client, run.id, SUCCEEDED)
    assert (after.progress, after.block_counts) == (1, BlockCounts(total=2))
    assert await blocks_of(client, run.id) == []


async def test_the_same_end_again_is_ok_and_writes_nothing(client: Client) -> None:
    run = await running(client)
    message = "ä" * 40_000  # longer than what is kept
    end: dict[str, Any] = {"result": {"a": [1]}, "error_message": message, "error_code": "E"}
    await finish(client, run.id, FAILED, **end)
    before = await everything(client, run.id)
    assert before[0].error_message == "ä" * 32_768
    assert await finish(client, run.id, FAILED, **end) == before[0]
    assert await finish(client, run.id, FAILED, executor_id="robot-1", **end) == before[0]
    assert await everything(client, run.id) == before


@pytest.mark.parametrize(
    ("status", "end", "reason"),
    [
        (FAILED, {"result": {"a": 2}, "error_code": "E"}, "RUN_IS_FINAL"),
        (FAILED, {"error_code": "E"}, "RUN_IS_FINAL"),
        (FAILED, {"result": {"a": 1}}, "RUN_IS_FINAL"),
        (FAILED, {"result": {"a": 1}, "error_code": "E", "error_message": "x"}, "RUN_IS_FINAL"),
        (SUCCEEDED, {"result": {"a": 1}, "error_code": "E"}, "ILLEGAL_TRANSITION"),
        (CANCELED, {"result": {"a": 1}, "error_code": "E"}, "ILLEGAL_TRANSITION"),
    ],
)
async def test_another_end_is_refused(
    client: Client, status: Status, end: dict[str, Any], reason: str
) -> None:
    run = await running(client)
    await finish(client, run.id, FAILED, result={"a": 1}, error_code="E")
    before = await everything(client, run.id)
    with refused(StatusCode.FAILED_PRECONDITION, reason):
        await finish(client, run.id, status, **end)
    assert await everything(client, run.id) == before


async def test_a_run_that_never_began_can_only_fail(client: Client) -> None:
    run = await create(client)
    for status in (SUCCEEDED, CANCELED):
        with refused(StatusCode.FAILED_PRECONDITION, "ILLEGAL_TRANSITION") as refusal:
            await finish(client, run.id, status)
        assert refusal.metadata["from"] == "TASK_RECORD_STATUS_PENDING"
    assert await get(client, run.id) == run
    after = await finish(client, run.id, FAILED, error_code="NO_ROBOT")
    assert (after.status, after.error_code) == (FAILED, "NO_ROBOT")
    assert not after.HasField("start_time")


@pytest.mark.parametrize("status", [SUCCEEDED, FAILED, CANCELED])
async def test_an_interrupted_run_can_end(
    client: Client, database_url: str, status: Status
) -> None:
    run = await running(client, lease=60)
    await let_lease_run_out(database_url, run.id)
    await until(client, run.id, INTERRUPTED)
    # Its last executor may have done the work after all: its fence is still the present one.
    after = await finish(client, run.id, status, executor_id="robot-1", lease_epoch=1)
    assert after.status == status


@pytest.mark.parametrize("status", [PENDING, RUNNING, 0, 99])
async def test_an_end_is_a_final_status(client: Client, status: Status) -> None:
    run = await running(client)
    with refused(StatusCode.INVALID_ARGUMENT) as refusal:
        await finish(client, run.id, status)
    assert refusal.fields == ["status"]
