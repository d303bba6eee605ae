"""ReleaseTaskRecord: the holder hands the run back, and another may go on with it at once."""

import asyncio
from typing import Any

import pytest
from grpc import StatusCode
from vwed.v1.record_service_pb2 import (
    CancelTaskRecordRequest,
    ClaimTaskRecordsRequest,
    FinishTaskRecordRequest,
    HeartbeatTaskRecordRequest,
    PauseTaskRecordRequest,
    ReleaseTaskRecordRequest,
    ResumeTaskRecordRequest,
)
from vwed.v1.task_record_pb2 import TaskRecord

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
    seconds,
    start,
    until,
)
from vwed.client import Client
from vwed_grpc.domain import blocks
from vwed_grpc.domain.lifecycle import (
    CANCELING,
    FAILED,
    INTERRUPTED,
    PAUSED,
    PAUSING,
    PENDING,
    RUNNING,
    SUCCEEDED,
    Status,
)

HOLDER: dict[str, Any] = {"executor_id": "robot-1", "lease_epoch": 1}


async def release(client: Client, run: str, **fields: Any) -> TaskRecord:
    """The holder's, unless told otherwise."""
    request = ReleaseTaskRecordRequest(**{"id": run, **HOLDER, **fields})
    return await client.records.ReleaseTaskRecord(request)


@pytest.mark.parametrize("lease", [0, 60])
async def test_a_run_is_handed_back(client: Client, lease: int) -> None:
    run = await running(client, lease=lease)
    await report(client, run.id, block("a", blocks.RUNNING))
    after = await release(client, run.id, reason="battery low")
    assert (after.status, after.status_reason, after.status_actor) == (
        INTERRUPTED,
        "battery low",
        "tester",
    )
    assert (after.executor_id, after.lease_epoch, after.seq) == ("robot-1", 1, 4)
    assert not after.HasField("lease_expire_time")
    assert after.etag != run.etag
    assert await get(client, run.id) == after
    told = (await history(client, run.id))[-1]
    assert (told.task_record.status, told.reason, told.actor) == (
        INTERRUPTED,
        "battery low",
        "tester",
    )
    # Another may go on with its blocks.
    assert [b.status for b in await blocks_of(client, run.id)] == [blocks.RUNNING]


async def paused(client: Client, run: str, **fence: Any) -> None:
    await client.records.PauseTaskRecord(PauseTaskRecordRequest(id=run, **fence))


@pytest.mark.parametrize(("fence", "status"), [({}, PAUSING), (HOLDER, PAUSED)])
async def test_a_run_that_stands_is_handed_back(
    client: Client, fence: dict[str, Any], status: Status
) -> None:
    run = await running(client, lease=60)
    await paused(client, run.id, **fence)
    assert (await get(client, run.id)).status == status
    assert (await release(client, run.id)).status == INTERRUPTED
    # Who takes it runs it: the pause went with the executor that it was asked of.
    assert (await start(client, run.id, "robot-2")).status == RUNNING


async def test_it_is_claimed_at_once(client: Client) -> None:
    run = await running(client)
    claim = client.records.ClaimTaskRecords(
        ClaimTaskRecordsRequest(executor_id="robot-2", include_interrupted=True, wait=seconds(20))
    )
    await asyncio.sleep(0.1)  # so that it waits, most likely; the claim is right either way
    await release(client, run.id)
    (claimed,) = (await claim).task_records
    assert (claimed.id, claimed.status, claimed.executor_id) == (run.id, RUNNING, "robot-2")
    assert claimed.lease_epoch == 2


async def test_it_is_not_claimed_by_who_wants_new_runs_alone(client: Client) -> None:
    run = await running(client)
    await release(client, run.id)
    answer = await client.records.ClaimTaskRecords(ClaimTaskRecordsRequest(executor_id="robot-2"))
    assert not answer.task_records


async def test_asked_again_it_answers_the_present_state(client: Client, database_url: str) -> None:
    run = await running(client, lease=60)
    after = await release(client, run.id)
    before = await everything(client, run.id)
    assert await release(client, run.id, reason="again") == after
    assert await everything(client, run.id) == before
    # Also where the lease was faster.
    late = await running(client, lease=60)
    await let_lease_run_out(database_url, late.id)
    interrupted = await until(client, late.id, INTERRUPTED)
    assert await release(client, late.id) == interrupted


async def test_its_own_heartbeats_do_not_bring_it_back(client: Client) -> None:
    run = await running(client, lease=60)
    after = await release(client, run.id)
    beat = HeartbeatTaskRecordRequest(id=run.id, message="here", **HOLDER)
    assert await client.records.HeartbeatTaskRecord(beat) == after
    assert await get(client, run.id, strong=True) == after


@pytest.mark.parametrize(
    "fence",
    [{"executor_id": "robot-2"}, {"lease_epoch": 2}, {"executor_id": "robot-2", "lease_epoch": 2}],
)
@pytest.mark.parametrize("status", [RUNNING, INTERRUPTED, FAILED])
async def test_another_cannot_hand_it_back(
    client: Client, fence: dict[str, Any], status: Status
) -> None:
    run = await running(client, lease=60)
    if status == INTERRUPTED:
        await release(client, run.id)
    elif status == FAILED:
        await client.records.FinishTaskRecord(FinishTaskRecordRequest(id=run.id, status=FAILED))
    before = await everything(client, run.id)
    with refused(StatusCode.FAILED_PRECONDITION, "LEASE_LOST") as refusal:
        await release(client, run.id, **fence)
    assert refusal.metadata == {"executor_id": "robot-1", "lease_epoch": "1"}
    assert await everything(client, run.id) == before


async def test_who_was_overtaken_cannot_hand_back_what_another_has(client: Client) -> None:
    run = await running(client, lease=60)
    await release(client, run.id)
    taken = await start(client, run.id, "robot-2")
    with refused(StatusCode.FAILED_PRECONDITION, "LEASE_LOST"):
        await release(client, run.id)
    assert await get(client, run.id, strong=True) == taken


async def test_only_what_somebody_holds_is_handed_back(client: Client) -> None:
    waiting = await create(client)
    with refused(StatusCode.FAILED_PRECONDITION, "LEASE_LOST"):
        await release(client, waiting.id)
    assert (await get(client, waiting.id)).status == PENDING
    canceling, ended = await running(client), await running(client)
    await client.records.CancelTaskRecord(CancelTaskRecordRequest(id=canceling.id))
    await client.records.FinishTaskRecord(FinishTaskRecordRequest(id=ended.id, status=SUCCEEDED))
    for run, status in ((canceling, CANCELING), (ended, SUCCEEDED)):
        before = await everything(client, run.id)
        with refused(StatusCode.FAILED_PRECONDITION, "ILLEGAL_TRANSITION") as refusal:
            await release(client, run.id)
        assert refusal.metadata["to"] == "TASK_RECORD_STATUS_INTERRUPTED"
        assert await everything(client, run.id) == before
        assert before[0].status == status


@pytest.mark.parametrize("missing", ["executor_id", "lease_epoch"])
async def test_the_holder_says_who_it_is(client: Client, missing: str) -> None:
    run = await running(client)
    fence = {name: value for name, value in HOLDER.items() if name != missing}
    with refused(StatusCode.INVALID_ARGUMENT) as refusal:
        await client.records.ReleaseTaskRecord(ReleaseTaskRecordRequest(id=run.id, **fence))
    assert refusal.fields == [missing]
    assert await get(client, run.id, strong=True) == run


async def test_an_etag_is_compared(client: Client) -> None:
    run = await running(client)
    await paused(client, run.id)
    with refused(StatusCode.ABORTED, "ETAG_MISMATCH"):
        await release(client, run.id, etag=run.etag)
    await client.records.ResumeTaskRecord(ResumeTaskRecordRequest(id=run.id))
    etag = (await get(client, run.id)).etag
    assert (await release(client, run.id, etag=etag)).status == INTERRUPTED
