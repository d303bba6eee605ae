"""PauseTaskRecord and ResumeTaskRecord: the operator asks, the holder has stopped."""

from typing import Any

import pytest
from grpc import StatusCode
from vwed.v1.record_service_pb2 import (
    CancelTaskRecordRequest,
    PauseTaskRecordRequest,
    ResumeTaskRecordRequest,
)
from vwed.v1.task_record_pb2 import TaskRecord

from tests.support.steps import create, everything, history, refused, running
from vwed.client import Client
from vwed_grpc.domain.lifecycle import PAUSED, PAUSING, PENDING, RUNNING

HOLDER: dict[str, Any] = {"executor_id": "robot-1", "lease_epoch": 1}


async def pause(client: Client, run: str, **fields: Any) -> TaskRecord:
    return await client.records.PauseTaskRecord(PauseTaskRecordRequest(id=run, **fields))


async def resume(client: Client, run: str) -> TaskRecord:
    return await client.records.ResumeTaskRecord(ResumeTaskRecordRequest(id=run, reason="go on"))


async def test_a_pause_by_an_operator_is_confirmed_by_the_holder(client: Client) -> None:
    run = await running(client, lease=60)
    pausing = await pause(client, run.id, reason="door")
    assert (pausing.status, pausing.status_reason) == (PAUSING, "door")
    paused = await pause(client, run.id, **HOLDER)
    assert paused.status == PAUSED
    assert paused.HasField("lease_expire_time")
    resumed = await resume(client, run.id)
    assert (resumed.status, resumed.status_reason) == (RUNNING, "go on")
    assert resumed.start_time == run.start_time
    statuses = [event.task_record.status for event in await history(client, run.id)]
    assert statuses == [PENDING, RUNNING, PAUSING, PAUSED, RUNNING]


async def test_the_holder_may_pause_by_itself(client: Client) -> None:
    """With or without a lease."""
    for lease in (0, 60):
        run = await running(client, lease=lease)
        assert (await pause(client, run.id, **HOLDER)).status == PAUSED


@pytest.mark.parametrize("fence", [{"executor_id": "robot-1"}, {"lease_epoch": 1}])
async def test_half_a_fence_is_not_the_holders(client: Client, fence: dict[str, Any]) -> None:
    run = await running(client)
    assert (await pause(client, run.id, **fence)).status == PAUSING


async def test_a_pause_may_be_taken_back_before_it_is_reached(client: Client) -> None:
    run = await running(client)
    await pause(client, run.id)
    assert (await resume(client, run.id)).status == RUNNING


async def test_asked_again_they_answer_the_present_state(client: Client) -> None:
    run = await running(client)
    assert await resume(client, run.id) == run
    pausing = await pause(client, run.id)
    assert await pause(client, run.id, reason="again") == pausing
    paused = await pause(client, run.id, **HOLDER)
    assert await pause(client, run.id, **HOLDER) == paused
    assert await pause(client, run.id) == paused
    assert len(await history(client, run.id)) == 4


@pytest.mark.parametrize("fence", [{"executor_id": "robot-2"}, {"lease_epoch": 2}])
async def test_another_cannot_pause_as_the_holder(client: Client, fence: dict[str, Any]) -> None:
    run = await running(client)
    before = await everything(client, run.id)
    with refused(StatusCode.FAILED_PRECONDITION, "LEASE_LOST"):
        await pause(client, run.id, **fence)
    assert await everything(client, run.id) == before


async def test_what_does_not_run_is_not_paused(client: Client) -> None:
    run = await create(client)
    for act in (pause, resume):
        with refused(StatusCode.FAILED_PRECONDITION, "ILLEGAL_TRANSITION"):
            await act(client, run.id)
    canceling = (await running(client)).id
    await client.records.CancelTaskRecord(CancelTaskRecordRequest(id=canceling))
    with refused(StatusCode.FAILED_PRECONDITION, "ILLEGAL_TRANSITION"):
        await pause(client, canceling, **HOLDER)
