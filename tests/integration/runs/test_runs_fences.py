"""What keeps writers apart: etags, and the fence of executor and epoch. Nothing is written."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from grpc import StatusCode
from vwed.v1.record_service_pb2 import (
    CancelTaskRecordRequest,
    FinishTaskRecordRequest,
    HeartbeatTaskRecordRequest,
    PauseTaskRecordRequest,
    ReleaseTaskRecordRequest,
    ReportBlockRequest,
    ReportBlocksRequest,
    ResumeTaskRecordRequest,
    StartTaskRecordRequest,
    UpdateTaskRecordRequest,
)
from vwed.v1.task_record_pb2 import TaskRecord

from tests.support.steps import (
    block,
    create,
    everything,
    get,
    refused,
    report,
    running,
    start,
    struct,
)
from tests.support.three_ways import WAYS, Way
from vwed.client import Client
from vwed_grpc.domain import blocks
from vwed_grpc.domain.lifecycle import (
    CANCELED,
    CANCELING,
    INTERRUPTED,
    PENDING,
    SUCCEEDED,
    Status,
)

Act = Callable[..., Awaitable[Any]]


def start_again(client: Client, run: str, **fields: Any) -> Awaitable[TaskRecord]:
    return client.records.StartTaskRecord(
        StartTaskRecordRequest(id=run, executor_id="robot-1", **fields)
    )


def heartbeat(client: Client, run: str, **fields: Any) -> Awaitable[TaskRecord]:
    return client.records.HeartbeatTaskRecord(
        HeartbeatTaskRecordRequest(id=run, message="here", **fields)
    )


def pause(client: Client, run: str, **fields: Any) -> Awaitable[TaskRecord]:
    return client.records.PauseTaskRecord(PauseTaskRecordRequest(id=run, **fields))


def resume(client: Client, run: str, **fields: Any) -> Awaitable[TaskRecord]:
    return client.records.ResumeTaskRecord(ResumeTaskRecordRequest(id=run, **fields))


def cancel(client: Client, run: str, **fields: Any) -> Awaitable[TaskRecord]:
    return client.records.CancelTaskRecord(CancelTaskRecordRequest(id=run, **fields))


def release(client: Client, run: str, **fields: Any) -> Awaitable[TaskRecord]:
    return client.records.ReleaseTaskRecord(ReleaseTaskRecordRequest(id=run, **fields))


def finish(client: Client, run: str, **fields: Any) -> Awaitable[TaskRecord]:
    return client.records.FinishTaskRecord(
        FinishTaskRecordRequest(id=run, status=SUCCEEDED, result=struct({"a": 1}), **fields)
    )


def update(client: Client, run: str, etag: str) -> Awaitable[TaskRecord]:
    return client.records.UpdateTaskRecord(
        UpdateTaskRecordRequest(task_record=TaskRecord(id=run, priority=9, etag=etag))
    )


def report_one(client: Client, run: str, **fields: Any) -> Awaitable[Any]:
    return client.records.ReportBlock(
        ReportBlockRequest(task_record_id=run, block_record=block("z", blocks.RUNNING), **fields)
    )


def report_many(client: Client, run: str, **fields: Any) -> Awaitable[Any]:
    reported = [block("a", blocks.SUCCEEDED), block("z", blocks.RUNNING)]
    return client.records.ReportBlocks(
        ReportBlocksRequest(task_record_id=run, block_records=reported, **fields)
    )


async def half_done(client: Client) -> TaskRecord:
    """A run in its second epoch, with a block that is open."""
    run = await running(client, lease=60)
    await report(client, run.id, block("a", blocks.RUNNING, input_data={"x": 1}))
    return await start(client, run.id, lease=60)


@pytest.mark.parametrize("act", [start_again, heartbeat, pause, cancel, finish, update])
async def test_another_etag_aborts(client: Client, act: Act) -> None:
    run = await half_done(client)
    before = await everything(client, run.id)
    with refused(StatusCode.ABORTED, "ETAG_MISMATCH"):
        await act(client, run.id, etag="other")
    assert await everything(client, run.id) == before
    await act(client, run.id, etag=run.etag)
    assert await everything(client, run.id) != before


async def test_an_etag_is_good_for_one_change(client: Client) -> None:
    run = await half_done(client)
    await pause(client, run.id, etag=run.etag)
    with refused(StatusCode.ABORTED, "ETAG_MISMATCH"):
        await resume(client, run.id, etag=run.etag)


async def test_heartbeats_and_reports_leave_the_etag(client: Client) -> None:
    run = await half_done(client)
    await heartbeat(client, run.id, executor_id="robot-1", lease_epoch=2)
    await report_many(client, run.id, executor_id="robot-1", lease_epoch=2)
    assert (await get(client, run.id)).etag == run.etag
    await finish(client, run.id, etag=run.etag)


@pytest.mark.parametrize(
    "change",
    [
        {"labels": {"a": "b"}},
        {"priority": 4},
        {"external_id": "wms-2"},
        {"pinned": True},
    ],
)
async def test_an_update_changes_the_etag_if_it_changes_anything(
    client: Client, change: dict[str, Any]
) -> None:
    run = await half_done(client)
    request = UpdateTaskRecordRequest(task_record=TaskRecord(id=run.id, **change))
    after = await client.records.UpdateTaskRecord(request)
    assert after.etag != run.etag
    before = await everything(client, run.id)
    assert await client.records.UpdateTaskRecord(request) == after
    assert await everything(client, run.id) == before


LOST: list[dict[str, Any]] = [
    {"lease_epoch": 1},
    {"executor_id": "robot-1", "lease_epoch": 1},
    {"executor_id": "robot-2"},
    {"executor_id": "robot-2", "lease_epoch": 2},
    {"lease_epoch": 3},
]


@pytest.mark.parametrize("act", [heartbeat, pause, finish, report_one, report_many])
async def test_a_lost_lease_writes_nothing(client: Client, act: Act) -> None:
    run = await half_done(client)
    before = await everything(client, run.id)
    for fence in LOST:
        with refused(StatusCode.FAILED_PRECONDITION, "LEASE_LOST") as refusal:
            await act(client, run.id, **fence)
        assert refusal.metadata == {"executor_id": "robot-1", "lease_epoch": "2"}
    assert await everything(client, run.id) == before
    await act(client, run.id, executor_id="robot-1", lease_epoch=2)
    assert await everything(client, run.id) != before


@pytest.mark.parametrize("status", [PENDING, INTERRUPTED, CANCELING, SUCCEEDED, CANCELED])
@pytest.mark.parametrize("act", [heartbeat, pause, release, finish])
async def test_a_lost_lease_is_told_before_anything_about_the_status(
    client: Client, act: Act, status: Status
) -> None:
    run = await standing_at(client, status)
    before = await everything(client, run.id)
    with refused(StatusCode.FAILED_PRECONDITION, "LEASE_LOST") as refusal:
        await act(client, run.id, executor_id="robot-9", lease_epoch=9)
    assert refusal.metadata["lease_epoch"] == str(run.lease_epoch)
    assert await everything(client, run.id) == before


@pytest.mark.parametrize("status", [PENDING, INTERRUPTED, CANCELING, SUCCEEDED, CANCELED])
@pytest.mark.parametrize(("way", "path"), WAYS)
async def test_so_it_is_to_reports(client: Client, way: Way, path: str, status: Status) -> None:
    run = await standing_at(client, status)
    before = await everything(client, run.id)
    for fence in ({"executor_id": "robot-9"}, {"lease_epoch": 9}):
        outcome = await way(client, run.id, block("z", blocks.RUNNING), **fence)
        assert (outcome.code, outcome.reason) == ("FAILED_PRECONDITION", "LEASE_LOST"), path
    assert await everything(client, run.id) == before


async def standing_at(client: Client, status: Status) -> TaskRecord:
    """A run that stands there, in its first epoch unless PENDING."""
    if status == PENDING:
        return await create(client)
    run = await running(client, lease=60)
    if status == INTERRUPTED:
        await release(client, run.id, executor_id="robot-1", lease_epoch=1)
    elif status == SUCCEEDED:
        await finish(client, run.id)
    else:
        await cancel(client, run.id, force=status == CANCELED)
    after = await get(client, run.id, strong=True)
    assert after.status == status
    return after
