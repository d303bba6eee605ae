"""WatchTaskRecord from a seq: exactly the rest, its end, and where it cannot resume."""

import asyncio
import uuid

import pytest
from grpc import StatusCode
from vwed.v1.common_pb2 import View
from vwed.v1.record_service_pb2 import (
    DeleteTaskRecordRequest,
    FinishTaskRecordRequest,
    PauseTaskRecordRequest,
    UpdateTaskRecordRequest,
    WatchTaskRecordRequest,
)
from vwed.v1.task_record_pb2 import TaskRecord

from tests.support.steps import (
    block,
    create,
    history,
    refused,
    report,
    running,
    seconds,
    sql,
    start,
)
from tests.support.watching import watch_to_end, watching
from vwed.client import Client, connect
from vwed_grpc.domain import lifecycle
from vwed_grpc.domain.blocks import RUNNING, SUCCEEDED


async def finish(client: Client, run: str) -> TaskRecord:
    return await client.records.FinishTaskRecord(
        FinishTaskRecordRequest(id=run, status=lifecycle.SUCCEEDED)
    )


async def relabel(client: Client, run: str, value: str) -> TaskRecord:
    return await client.records.UpdateTaskRecord(
        UpdateTaskRecordRequest(task_record=TaskRecord(id=run, labels={"a": value}))
    )


@pytest.fixture
async def ended(client: Client) -> TaskRecord:
    """A run of 12 events that ended with the tenth: its labels were changed after it."""
    run = await running(client)
    await report(client, run.id, block("a", RUNNING, input_data={"x": 1}), block("b", RUNNING))
    await relabel(client, run.id, "1")
    await report(client, run.id, block("a", SUCCEEDED, output_data={"y": 1}))
    await report(client, run.id, block("c", RUNNING))
    assert (await finish(client, run.id)).seq == 10
    await relabel(client, run.id, "2")
    return await relabel(client, run.id, "3")


async def test_a_watch_resumes_at_every_seq_with_exactly_the_rest(
    client: Client, ended: TaskRecord
) -> None:
    whole = await history(client, ended.id)
    assert len(whole) == 12
    for seq in range(10):
        seen = await watch_to_end(client, ended.id, seq, view=View.VIEW_FULL)
        assert seen.changes == whole[seq:10]
        assert seen.changes[-1].task_record.status == lifecycle.SUCCEEDED


@pytest.mark.parametrize("after_seq", [10, 11, 12])
async def test_a_watch_ends_at_once_if_the_end_is_behind(
    client: Client, ended: TaskRecord, after_seq: int
) -> None:
    assert (await watch_to_end(client, ended.id, after_seq)).messages == []


async def test_a_final_run_is_its_snapshot_and_then_the_end(
    client: Client, ended: TaskRecord
) -> None:
    seen = await watch_to_end(client, ended.id)
    assert seen.changes == []
    assert [event.seq for event in seen.snapshot] == [6, 8, 9, 12]
    assert seen.messages[-1].bookmark_seq == 12
    assert seen.snapshot[-1].task_record.labels == {"a": "3"}


async def test_a_live_watch_ends_after_the_final_event(client: Client) -> None:
    run = await running(client)
    async with watching(client, run.id, 0) as everything, watching(client, run.id) as present:
        await everything.reach(2)
        await present.reach(2)
        await report(client, run.id, block("a", RUNNING))
        last = await finish(client, run.id)
        await relabel(client, run.id, "late")
        for seen in (everything, present):
            await seen.end()
            assert seen.seq == last.seq == 5
            assert [event.seq for event in seen.changes[-3:]] == [3, 4, 5]


async def test_a_live_watch_is_fed_every_change(client: Client) -> None:
    run = await create(client)
    async with watching(client, run.id, 1, view=View.VIEW_FULL) as seen:
        await start(client, run.id)
        for n in range(5):
            await report(client, run.id, block("a", message=str(n)), block("b", message=str(n)))
        await client.records.PauseTaskRecord(PauseTaskRecordRequest(id=run.id))
        await relabel(client, run.id, "x")
        await seen.reach(14)
        assert seen.changes == await history(client, run.id, after_seq=1)


async def test_a_seq_that_is_not_there_is_out_of_range(
    client: Client, tenant: str, database_url: str, ended: TaskRecord
) -> None:
    with refused(StatusCode.OUT_OF_RANGE) as refusal:
        await watch_to_end(client, ended.id, 13)
    assert refusal.metadata == {"oldest_seq": "1", "current_seq": "12"}
    await sql(  # what retention does
        database_url,
        "DELETE FROM task_record_events"
        " WHERE tenant = :tenant AND task_record_id = :run AND seq < 5 RETURNING seq",
        tenant=tenant,
        run=ended.id,
    )
    for after_seq in (1, 3):
        with refused(StatusCode.OUT_OF_RANGE) as refusal:
            await watch_to_end(client, ended.id, after_seq)
        assert refusal.metadata == {"oldest_seq": "5", "current_seq": "12"}
    assert (await watch_to_end(client, ended.id, 4)).changes[0].seq == 5


async def test_0_is_everything_kept(
    client: Client, tenant: str, database_url: str, ended: TaskRecord
) -> None:
    await sql(
        database_url,
        "DELETE FROM task_record_events"
        " WHERE tenant = :tenant AND task_record_id = :run AND seq < 5 RETURNING seq",
        tenant=tenant,
        run=ended.id,
    )
    call = client.records.WatchTaskRecord(
        WatchTaskRecordRequest(task_record_id=ended.id, after_seq=0)
    )
    seqs = [event.seq async for message in call for event in message.events]
    assert seqs == list(range(5, 11))


async def test_a_run_that_is_not_there(client: Client, target: str) -> None:
    with refused(StatusCode.NOT_FOUND, "TASK_RECORD_NOT_FOUND"):
        await watch_to_end(client, "nowhere", 0)
    run = await create(client)
    async with connect(target, tenant=f"other-{uuid.uuid4().hex}", bare=True) as other:
        for after_seq in (None, 0):
            with refused(StatusCode.NOT_FOUND, "TASK_RECORD_NOT_FOUND"):
                await watch_to_end(other, run.id, after_seq)


async def test_a_run_that_is_deleted_under_a_watch(client: Client) -> None:
    run = await running(client)
    watches = [asyncio.create_task(watch_to_end(client, run.id, n)) for n in (0, 2, None)]
    await asyncio.sleep(0.1)
    await client.records.DeleteTaskRecord(DeleteTaskRecordRequest(id=run.id, force=True))
    for watch in watches:
        with refused(StatusCode.NOT_FOUND, "TASK_RECORD_DELETED"):
            await watch
    for after_seq in (None, 0, 3, 99):
        with refused(StatusCode.NOT_FOUND, "TASK_RECORD_DELETED"):
            await watch_to_end(client, run.id, after_seq)


@pytest.mark.parametrize("interval", [0.5, 61])
async def test_bookmark_intervals_out_of_bounds_are_refused(
    client: Client, interval: float
) -> None:
    request = WatchTaskRecordRequest(task_record_id="any", bookmark_interval=seconds(interval))
    with refused(StatusCode.INVALID_ARGUMENT) as refusal:
        async for _ in client.records.WatchTaskRecord(request):
            pass
    assert refusal.fields == ["bookmark_interval"]


async def test_a_negative_seq_is_refused(client: Client) -> None:
    with refused(StatusCode.INVALID_ARGUMENT) as refusal:
        await watch_to_end(client, "any", -1)
    assert refusal.fields == ["after_seq"]
