"""StartTaskRecord: who gets a run, the fence that it raises, and the lease."""

from collections.abc import Awaitable, Callable

import pytest
from grpc import StatusCode
from vwed.v1.record_service_pb2 import (
    CancelTaskRecordRequest,
    FinishTaskRecordRequest,
    PauseTaskRecordRequest,
    StartTaskRecordRequest,
)
from vwed.v1.task_record_pb2 import TaskRecord

from tests.support.steps import (
    create,
    everything,
    get,
    history,
    let_lease_run_out,
    refused,
    running,
    start,
)
from vwed.client import Client
from vwed_grpc.domain.lifecycle import (
    CANCELING,
    INTERRUPTED,
    PAUSED,
    PAUSING,
    RUNNING,
    SUCCEEDED,
    Status,
)

HELD: dict[Status, Callable[[Client, str], Awaitable[TaskRecord]]] = {
    RUNNING: get,
    PAUSING: lambda client, id_: client.records.PauseTaskRecord(PauseTaskRecordRequest(id=id_)),
    PAUSED: lambda client, id_: client.records.PauseTaskRecord(
        PauseTaskRecordRequest(id=id_, executor_id="robot-1", lease_epoch=1)
    ),
    CANCELING: lambda client, id_: client.records.CancelTaskRecord(CancelTaskRecordRequest(id=id_)),
}
"""How a run that robot-1 has started comes to each of the statuses in which it is held."""


def lease_of(run: TaskRecord) -> float:
    return (run.lease_expire_time.ToNanoseconds() - run.update_time.ToNanoseconds()) / 1e9


async def test_a_start_takes_the_run(client: Client) -> None:
    waiting = await create(client)
    run = await client.records.StartTaskRecord(
        StartTaskRecordRequest(id=waiting.id, executor_id="robot-1", reason="mine")
    )
    assert (run.status, run.executor_id, run.lease_epoch, run.seq) == (RUNNING, "robot-1", 1, 2)
    assert (run.status_actor, run.status_reason) == ("tester", "mine")
    assert run.start_time == run.update_time
    assert not run.HasField("lease_expire_time")
    assert run.etag != waiting.etag
    assert await get(client, run.id) == run
    event = (await history(client, run.id))[-1]
    run.ClearField("input")  # payload is told only by the change that set it
    assert (event.task_record, event.reason, event.event_time) == (run, "mine", run.update_time)


@pytest.mark.parametrize("lease", [0, 1, 90.5, 86_400])
async def test_the_lease_is_what_was_asked_for(client: Client, lease: float) -> None:
    run = await running(client, lease=lease)
    assert run.HasField("lease_expire_time") == (lease > 0)
    assert not lease or lease_of(run) == lease


@pytest.mark.parametrize("lease", [0.999, 86_400.5])
async def test_a_lease_out_of_bounds_is_refused(client: Client, lease: float) -> None:
    run = await create(client)
    with refused(StatusCode.INVALID_ARGUMENT) as refusal:
        await start(client, run.id, lease=lease)
    assert refusal.fields == ["lease"]


@pytest.mark.parametrize("status", HELD)
async def test_a_run_that_another_executor_holds_is_taken(client: Client, status: Status) -> None:
    run = await running(client)
    assert (await HELD[status](client, run.id)).status == status
    before = await everything(client, run.id)
    with refused(StatusCode.FAILED_PRECONDITION, "RUN_TAKEN") as refusal:
        await start(client, run.id, "robot-2")
    assert refusal.metadata["executor_id"] == "robot-1"
    assert await everything(client, run.id) == before


@pytest.mark.parametrize("status", HELD)
async def test_a_restart_by_its_executor_raises_the_fence_alone(
    client: Client, status: Status
) -> None:
    run = await running(client)
    before = await HELD[status](client, run.id)
    again = await start(client, run.id, lease=60)
    assert (again.status, again.lease_epoch, again.seq) == (status, 2, before.seq + 1)
    assert again.start_time == run.start_time
    assert lease_of(again) == 60
    assert not (await start(client, run.id)).HasField("lease_expire_time")


@pytest.mark.parametrize("status", [RUNNING, PAUSING, PAUSED])
@pytest.mark.parametrize("executor", ["robot-1", "robot-2"])
async def test_a_start_after_the_lease_counts_it_as_run_out(
    client: Client, database_url: str, executor: str, status: Status
) -> None:
    """Also by the executor that had it: it was dead for all that anybody knew."""
    run = await running(client, lease=60)
    held = await HELD[status](client, run.id)
    await let_lease_run_out(database_url, run.id)
    taken = await start(client, run.id, executor)
    assert (taken.status, taken.executor_id, taken.lease_epoch) == (RUNNING, executor, 2)
    assert taken.start_time == run.start_time
    lost, again = await history(client, run.id, after_seq=held.seq)
    statuses = [event.task_record.status for event in (lost, again)]
    assert statuses == [INTERRUPTED, RUNNING]
    assert not lost.task_record.HasField("lease_expire_time")
    assert lost.task_record.executor_id == "robot-1"


async def test_a_run_to_be_canceled_is_not_started_after_its_lease(
    client: Client, database_url: str
) -> None:
    run = await running(client, lease=60)
    await HELD[CANCELING](client, run.id)
    await let_lease_run_out(database_url, run.id)
    with refused(StatusCode.FAILED_PRECONDITION, "ILLEGAL_TRANSITION"):
        await start(client, run.id)


async def test_a_run_that_has_ended_is_not_started(client: Client) -> None:
    run = await running(client)
    await client.records.FinishTaskRecord(FinishTaskRecordRequest(id=run.id, status=SUCCEEDED))
    before = await everything(client, run.id)
    with refused(StatusCode.FAILED_PRECONDITION, "ILLEGAL_TRANSITION") as refusal:
        await start(client, run.id)
    assert refusal.metadata == {
        "from": "TASK_RECORD_STATUS_SUCCEEDED",
        "to": "TASK_RECORD_STATUS_RUNNING",
    }
    assert await everything(client, run.id) == before


async def test_a_start_needs_an_executor_and_a_run(client: Client) -> None:
    run = await create(client)
    with refused(StatusCode.INVALID_ARGUMENT) as refusal:
        await start(client, run.id, "")
    assert refusal.fields == ["executor_id"]
    with refused(StatusCode.NOT_FOUND, "TASK_RECORD_NOT_FOUND"):
        await start(client, "nowhere")
