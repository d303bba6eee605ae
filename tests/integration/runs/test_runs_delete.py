"""DeleteTaskRecord: the run goes with all that is its own; its history stays, and says so last."""

from typing import Any

import pytest
from grpc import StatusCode
from vwed.v1.record_service_pb2 import (
    DeleteTaskRecordRequest,
    GetTaskRecordRequest,
    HeartbeatTaskRecordRequest,
    ListTaskRecordsRequest,
)

from tests.support.aging import rows_of
from tests.support.calls import finish_run, get_entry, set_entry
from tests.support.feeding import labelled
from tests.support.steps import (
    block,
    create,
    everything,
    get,
    history,
    refused,
    report,
    running,
)
from tests.support.watching import watch_to_end
from vwed.client import Client, connect
from vwed_grpc.domain.blocks import RUNNING
from vwed_grpc.domain.lifecycle import FAILED, PENDING


async def delete(client: Client, run: str, **fields: Any) -> None:
    await client.records.DeleteTaskRecord(DeleteTaskRecordRequest(id=run, **fields))


async def test_a_run_goes_with_all_that_is_its_own(client: Client, database_url: str) -> None:
    run = await running(client, labels={"zone": "a"}, external_id="WMS-1")
    await report(client, run.id, block("a", RUNNING), block("b", RUNNING))
    await set_entry(client, run.id, "k", int_value=1)
    assert (await get_entry(client, run.id, "k")).int_value == 1  # so it is in Redis
    await finish_run(client, run.id)
    await get(client, run.id)
    assert list((await rows_of(database_url, run.id)).values()) == [1, 2, 1, 1]

    await delete(client, run.id, reason="cleaning up")
    assert set((await rows_of(database_url, run.id)).values()) == {0}
    with refused(StatusCode.NOT_FOUND, "TASK_RECORD_NOT_FOUND"):
        await get(client, run.id)
    with refused(StatusCode.NOT_FOUND):
        await get_entry(client, run.id, "k")
    for f in (None, labelled(zone="a")):
        answer = await client.records.ListTaskRecords(ListTaskRecordsRequest(filter=f))
        assert not answer.task_records
    *_, last = await history(client, run.id)
    assert last.HasField("deleted")
    assert (last.actor, last.reason, last.seq) == ("tester", "cleaning up", 8)
    with refused(StatusCode.NOT_FOUND, "TASK_RECORD_DELETED"):
        await watch_to_end(client, run.id, 3)
    with refused(StatusCode.NOT_FOUND):
        await delete(client, run.id, force=True)


async def test_an_open_run_is_deleted_by_force_alone(client: Client) -> None:
    run = await running(client)
    before = await everything(client, run.id)
    with refused(StatusCode.FAILED_PRECONDITION, "RUN_IS_OPEN"):
        await delete(client, run.id)
    assert await everything(client, run.id) == before
    await delete(client, run.id, force=True)
    with refused(StatusCode.NOT_FOUND):  # so its executor learns it
        await client.records.HeartbeatTaskRecord(HeartbeatTaskRecordRequest(id=run.id))
    with refused(StatusCode.NOT_FOUND):
        await report(client, run.id, block("a", RUNNING))


async def test_a_run_with_runs_below_is_deleted_by_force_alone(client: Client) -> None:
    top = await running(client)
    below = await create(client, parent_task_record_id=top.id)
    await finish_run(client, top.id)
    for status in (PENDING, FAILED):
        assert (await get(client, below.id)).status == status
        with refused(StatusCode.FAILED_PRECONDITION, "RUNS_BELOW"):
            await delete(client, top.id)
        await finish_run(client, below.id, FAILED)
    await delete(client, top.id, force=True)
    assert (await get(client, below.id)).status == FAILED


async def test_the_etag_must_be_the_present_one(client: Client) -> None:
    run = await running(client)
    ended = await finish_run(client, run.id)
    with refused(StatusCode.ABORTED, "ETAG_MISMATCH"):
        await delete(client, run.id, etag=run.etag)
    await delete(client, run.id, etag=ended.etag)


@pytest.mark.parametrize("force", [False, True])
async def test_a_run_of_another_tenant_is_none(client: Client, target: str, force: bool) -> None:
    run = await create(client)
    async with connect(target, tenant="another", bare=True) as other:
        with refused(StatusCode.NOT_FOUND, "TASK_RECORD_NOT_FOUND"):
            await delete(other, run.id, force=force)
    request = GetTaskRecordRequest(id=run.id)
    assert await client.records.GetTaskRecord(request) == run
