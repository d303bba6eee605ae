"""HeartbeatTaskRecord: keeps a lease, says where the run is, and never revives it."""

import asyncio
from typing import Any

import pytest
from grpc import StatusCode
from vwed.v1.record_service_pb2 import (
    CancelTaskRecordRequest,
    FinishTaskRecordRequest,
    HeartbeatTaskRecordRequest,
    PauseTaskRecordRequest,
    ReportBlockRequest,
    ResumeTaskRecordRequest,
    SignalTaskRecordRequest,
    UpdateTaskRecordRequest,
)
from vwed.v1.task_record_pb2 import TaskRecord

from tests.support.calls import stub_of
from tests.support.steps import (
    block,
    create,
    everything,
    get,
    history,
    let_lease_run_out,
    refused,
    running,
    start,
    until,
)
from tests.support.three_ways import WAYS, Way
from vwed.client import Client
from vwed_grpc.domain.lifecycle import FAILED, INTERRUPTED


async def heartbeat(client: Client, run: str, **fields: Any) -> TaskRecord:
    """The holder's, unless told otherwise."""
    fields = {"executor_id": "robot-1", "lease_epoch": 1, **fields}
    return await client.records.HeartbeatTaskRecord(HeartbeatTaskRecordRequest(id=run, **fields))


NOT_THE_HOLDER: list[dict[str, Any]] = [
    {"executor_id": "", "lease_epoch": 0},
    {"executor_id": "robot-1", "lease_epoch": 0},
    {"executor_id": "", "lease_epoch": 1},
]
"""True as far as it goes, but it is not both."""


async def test_a_heartbeat_renews_the_lease(client: Client) -> None:
    run = await running(client, lease=60)
    after = await heartbeat(client, run.id, lease_epoch=1)
    assert after.lease_expire_time.ToNanoseconds() > run.lease_expire_time.ToNanoseconds()
    lease = after.lease_expire_time.ToNanoseconds() - after.update_time.ToNanoseconds()
    assert lease == 60 * 10**9
    assert await get(client, run.id) == after


@pytest.mark.parametrize("fence", NOT_THE_HOLDER)
async def test_a_heartbeat_without_the_whole_fence_renews_nothing(
    client: Client, fence: dict[str, Any]
) -> None:
    run = await running(client, lease=60)
    assert await heartbeat(client, run.id, **fence) == run
    said = await heartbeat(client, run.id, message="seen at the door", **fence)
    assert said.message == "seen at the door"
    assert said.lease_expire_time == run.lease_expire_time
    assert await get(client, run.id, strong=True) == said


@pytest.mark.parametrize("by", ["heartbeat", "report"])
async def test_nobody_keeps_a_dead_executors_run_alive(client: Client, by: str) -> None:
    """However often whoever it is says something."""
    run = await running(client, lease=1)
    for n in range(100):
        if by == "heartbeat":
            now = await heartbeat(client, run.id, executor_id="", lease_epoch=0, message=f"{n}")
        else:
            await client.records.ReportBlock(
                ReportBlockRequest(task_record_id=run.id, block_record=block("a", message=f"{n}"))
            )
            now = await get(client, run.id)
        if now.status == INTERRUPTED:
            break
        await asyncio.sleep(0.05)
    assert now.status == INTERRUPTED


async def test_a_heartbeat_is_no_event_and_leaves_the_etag(client: Client) -> None:
    run = await running(client, lease=60)
    after = await heartbeat(client, run.id, message="at the door", robot_id="amr-7")
    assert (after.message, after.robot_id) == ("at the door", "amr-7")
    assert (after.etag, after.seq, after.status) == (run.etag, run.seq, run.status)
    assert len(await history(client, run.id)) == 2
    kept = await heartbeat(client, run.id)
    assert (kept.message, kept.robot_id) == ("at the door", "amr-7")


async def test_a_run_without_a_lease_keeps_none(client: Client) -> None:
    run = await running(client)
    after = await heartbeat(client, run.id, message="fine")
    assert after.message == "fine"
    assert not after.HasField("lease_expire_time")


@pytest.mark.parametrize(
    "fence",
    [
        {"executor_id": "robot-2", "lease_epoch": 0},
        {"executor_id": "robot-1", "lease_epoch": 1},
        {"executor_id": "", "lease_epoch": 1},
        {"executor_id": "robot-1", "lease_epoch": 3},
    ],
)
async def test_who_lost_the_lease_is_told_and_writes_nothing(
    client: Client, fence: dict[str, Any]
) -> None:
    run = await running(client, lease=60)
    await start(client, run.id, lease=60)
    before = await everything(client, run.id)
    with refused(StatusCode.FAILED_PRECONDITION, "LEASE_LOST") as refusal:
        await heartbeat(client, run.id, message="still here", **fence)
    assert refusal.metadata == {"executor_id": "robot-1", "lease_epoch": "2"}
    assert await everything(client, run.id) == before


async def test_a_heartbeat_does_not_revive_an_interrupted_run(
    client: Client, database_url: str
) -> None:
    run = await running(client, lease=60)
    await let_lease_run_out(database_url, run.id)
    await until(client, run.id, INTERRUPTED)
    before = await everything(client, run.id)
    assert await heartbeat(client, run.id, lease_epoch=1, message="hello") == before[0]
    assert await everything(client, run.id) == before


async def test_a_heartbeat_of_a_run_that_has_ended_answers_it(client: Client) -> None:
    run = await running(client, lease=60)
    await client.records.FinishTaskRecord(FinishTaskRecordRequest(id=run.id, status=FAILED))
    before = await everything(client, run.id)
    assert await heartbeat(client, run.id, lease_epoch=1, message="hello") == before[0]
    assert await everything(client, run.id) == before


async def test_a_heartbeat_of_a_run_that_waits_changes_nothing(client: Client) -> None:
    run = await create(client)
    anybody = {"executor_id": "", "lease_epoch": 0}
    assert await heartbeat(client, run.id, message="hello", **anybody) == run
    assert await get(client, run.id) == run


@pytest.mark.parametrize(("way", "path"), WAYS)
async def test_reports_of_the_holder_renew_the_lease(client: Client, way: Way, path: str) -> None:
    run = await running(client, lease=60)

    async def report(message: str, **fence: Any) -> TaskRecord:
        outcome = await way(client, run.id, block("a", message=message), **fence)
        assert outcome.code == "OK", path
        return await get(client, run.id)

    for n, fence in enumerate(NOT_THE_HOLDER):
        of_others = await report(f"{n}", **fence)
        assert of_others.lease_expire_time == run.lease_expire_time
    by_holder = await report("mine", executor_id="robot-1", lease_epoch=1)
    assert by_holder.lease_expire_time.ToNanoseconds() > run.lease_expire_time.ToNanoseconds()
    # Also a report that changes nothing shows that its executor lives.
    again = await report("mine", executor_id="robot-1", lease_epoch=1)
    assert again.lease_expire_time.ToNanoseconds() > by_holder.lease_expire_time.ToNanoseconds()
    assert again.seq == by_holder.seq == 6


async def test_nothing_else_renews_it(client: Client) -> None:
    """Neither what operators do nor the holder's pause, which is no heartbeat."""
    run = await running(client, lease=60)
    one: dict[str, Any] = {"id": run.id}
    fence: dict[str, Any] = {"executor_id": "robot-1", "lease_epoch": 1}
    for request in (
        SignalTaskRecordRequest(name="go", **one),
        UpdateTaskRecordRequest(task_record=TaskRecord(priority=9, **one)),
        PauseTaskRecordRequest(**one),
        ResumeTaskRecordRequest(**one),
        PauseTaskRecordRequest(**one, **fence),
        CancelTaskRecordRequest(**one),
    ):
        # A call begins when it is made, not when it is awaited; these come one after the other.
        after = await stub_of(client, request)(request)
        assert after.lease_expire_time == run.lease_expire_time
