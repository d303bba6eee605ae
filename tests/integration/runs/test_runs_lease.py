"""A lease that ran out is acted on within 2 s, without anybody's call."""

from typing import Any

import pytest
from vwed.v1.record_service_pb2 import (
    CancelTaskRecordRequest,
    HeartbeatTaskRecordRequest,
    PauseTaskRecordRequest,
)

from tests.support.steps import (
    block,
    blocks_of,
    create,
    everything,
    get,
    history,
    let_lease_run_out,
    report,
    running,
    start,
    until,
)
from tests.support.waiting import promptly
from vwed.client import Client
from vwed_grpc.domain import blocks
from vwed_grpc.domain.lifecycle import CANCELED, INTERRUPTED, PAUSED, PAUSING


async def test_a_run_is_interrupted(client: Client, database_url: str) -> None:
    run = await running(client, lease=60)
    await report(client, run.id, block("a", blocks.RUNNING))
    await let_lease_run_out(database_url, run.id)
    after = await until(client, run.id, INTERRUPTED)
    assert (after.executor_id, after.lease_epoch, after.seq) == ("robot-1", 1, 4)
    assert not after.HasField("lease_expire_time")
    assert after.etag != run.etag
    # Another may go on with its blocks.
    assert [b.status for b in await blocks_of(client, run.id)] == [blocks.RUNNING]
    assert (await history(client, run.id))[-1].task_record.status == INTERRUPTED


async def test_a_run_that_stands_or_is_to_stand_is_interrupted(
    client: Client, database_url: str
) -> None:
    holder: dict[str, Any] = {"executor_id": "robot-1", "lease_epoch": 1}
    runs = [await running(client, lease=60) for _ in range(2)]
    for run, fence, status in zip(runs, (holder, {}), (PAUSED, PAUSING), strict=True):
        pause = PauseTaskRecordRequest(id=run.id, **fence)
        assert (await client.records.PauseTaskRecord(pause)).status == status
        await let_lease_run_out(database_url, run.id)
    for run in runs:
        await until(client, run.id, INTERRUPTED)


async def test_a_run_that_was_to_be_canceled_is(client: Client, database_url: str) -> None:
    run = await running(client, lease=60)
    await report(client, run.id, block("a", blocks.RUNNING))
    await client.records.CancelTaskRecord(CancelTaskRecordRequest(id=run.id))
    await let_lease_run_out(database_url, run.id)
    after = await until(client, run.id, CANCELED)
    assert after.error_code == "EXECUTOR_LOST"
    assert [b.status for b in await blocks_of(client, run.id)] == [blocks.CANCELED]


async def test_a_real_lease_runs_out_in_its_time(client: Client) -> None:
    kept = await start(client, (await create(client)).id, lease=0)

    async def late() -> float:
        run = await running(client, lease=1)
        ended = (await until(client, run.id, INTERRUPTED)).update_time
        nanoseconds = ended.ToNanoseconds() - run.lease_expire_time.ToNanoseconds()
        assert nanoseconds >= 0
        return nanoseconds / 1e9

    await promptly(late, below=2, rounds=2)
    assert (await everything(client, kept.id))[0] == kept


@pytest.mark.parametrize("by", ["heartbeat", "report"])
async def test_what_comes_after_its_end_does_not_bring_a_lease_back(
    client: Client, database_url: str, by: str
) -> None:
    """However soon it comes; the run is INTERRUPTED, and says so at once or within 2 s."""
    runs = [await running(client, lease=60) for _ in range(3)]
    for run in runs:
        fence: dict[str, Any] = {"executor_id": "robot-1", "lease_epoch": 1}
        await let_lease_run_out(database_url, run.id)
        if by == "report":
            await report(client, run.id, block("a", blocks.RUNNING), **fence)
        else:
            answer = await client.records.HeartbeatTaskRecord(
                HeartbeatTaskRecordRequest(id=run.id, message="here", **fence)
            )
            assert (answer.status, answer.message) == (INTERRUPTED, "")
        await until(client, run.id, INTERRUPTED)
        # Nor does a report that the interrupted run still takes.
        await report(client, run.id, block("b", blocks.RUNNING), **fence)
        after = await get(client, run.id, strong=True)
        assert after.status == INTERRUPTED
        assert not after.HasField("lease_expire_time")
