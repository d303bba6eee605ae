"""PruneTaskRecords: old runs go whole, pinned ones stay."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import StatusCode
from vwed.v1.record_service_pb2 import (
    PruneTaskRecordsRequest,
    PruneTaskRecordsResponse,
    RetryTaskRecordRequest,
    UpdateTaskRecordRequest,
)
from vwed.v1.task_record_pb2 import TaskRecord

from tests.support.aging import age, ended, left, rows_of
from tests.support.calls import finish_run
from tests.support.feeding import feeding
from tests.support.steps import (
    get,
    history,
    refused,
    running,
    sql,
)
from tests.support.watching import watch_to_end
from vwed.client import Client, connect
from vwed_grpc.domain.lifecycle import CANCELED, FAILED, SUCCEEDED
from vwed_grpc.storage import pruning
from vwed_grpc.writes import retention


def ago(days: float) -> Timestamp:
    at = Timestamp()
    at.FromDatetime(datetime.now(UTC) - timedelta(days=days))
    return at


async def prune(client: Client, days: float = 0, **fields: Any) -> PruneTaskRecordsResponse:
    return await client.records.PruneTaskRecords(
        PruneTaskRecordsRequest(ended_before=ago(days), **fields)
    )


async def test_what_ended_before_goes_with_all_that_is_its_own(
    client: Client, database_url: str, tenant: str
) -> None:
    old, new, is_open = await ended(client), await ended(client), await running(client)
    await age(database_url, tenant, old.id, 10)
    kept = await rows_of(database_url, new.id)
    async with feeding(client) as seen:
        answer = await prune(client, 5, reason="monthly")
        assert (answer.pruned, answer.more) == (1, False)
        await seen.reach(old.id, old.seq + 1)
        assert seen.changes[old.id][0].HasField("deleted")
    assert set((await rows_of(database_url, old.id)).values()) == {0}
    assert await rows_of(database_url, new.id) == kept
    assert await left(client) == {new.id, is_open.id}
    last = (await history(client, old.id))[-1]
    assert (last.actor, last.reason, last.HasField("deleted")) == ("tester", "monthly", True)
    with refused(StatusCode.NOT_FOUND, "TASK_RECORD_DELETED"):
        await watch_to_end(client, old.id, 1)
    with refused(StatusCode.NOT_FOUND):
        await get(client, old.id)


async def test_what_ended_at_that_very_moment_stays(client: Client) -> None:
    run = await ended(client)
    for after, pruned in ((0, 0), (1, 1)):
        moment = Timestamp()
        moment.FromMicroseconds(run.end_time.ToMicroseconds() + after)
        for dry_run in (True, False):
            request = PruneTaskRecordsRequest(ended_before=moment, dry_run=dry_run)
            assert (await client.records.PruneTaskRecords(request)).pruned == pruned


async def test_a_pinned_run_stays_and_so_do_those_of_others(client: Client, target: str) -> None:
    pinned = await ended(client, pinned=True)
    gone = await ended(client)
    async with connect(target, tenant=f"other-{uuid.uuid4().hex[:8]}", bare=True) as other:
        foreign = await ended(other)
        assert (await prune(client, dry_run=True)).pruned == 1
        assert (await prune(client)).pruned == 1
        assert await left(client) == {pinned.id}
        assert await left(other) == {foreign.id}
    assert gone.id not in await left(client)


@pytest.mark.parametrize("why", ["retry", "below", "pin"])
async def test_a_run_that_becomes_needed_while_it_is_pruned_stays(
    client: Client,
    database_url: str,
    tenant: str,
    monkeypatch: pytest.MonkeyPatch,
    why: str,
) -> None:
    old = await finish_run(client, (await running(client)).id, FAILED)
    await age(database_url, tenant, old.id, 10)
    lock = pruning.lock

    async def late(*args: Any) -> Any:
        if why == "retry":
            await client.records.RetryTaskRecord(RetryTaskRecordRequest(id=old.id))
        elif why == "below":
            await running(client, parent_task_record_id=old.id)
        else:
            pinned = TaskRecord(id=old.id, pinned=True)
            await client.records.UpdateTaskRecord(UpdateTaskRecordRequest(task_record=pinned))
        return await lock(*args)

    monkeypatch.setattr(pruning, "lock", late)
    assert (await prune(client, 5)).pruned == 0
    assert (await get(client, old.id, strong=True)).id == old.id


async def test_statuses_say_which(client: Client) -> None:
    runs = {status: await ended(client, status) for status in (SUCCEEDED, FAILED, CANCELED)}
    assert (await prune(client, statuses=[SUCCEEDED, CANCELED])).pruned == 2
    assert await left(client) == {runs[FAILED].id}
    with refused(StatusCode.INVALID_ARGUMENT) as refusal:
        await prune(client, statuses=[FAILED, 2])
    assert refusal.fields == ["statuses[1]"]


async def test_a_dry_run_counts_and_deletes_nothing(client: Client) -> None:
    runs = {(await ended(client)).id for _ in range(3)}
    assert (await prune(client, dry_run=True)).pruned == 3
    assert await left(client) == runs
    assert (await prune(client, 1, dry_run=True)).pruned == 0


async def test_runs_go_in_as_many_transactions_as_their_blocks_need(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH_BLOCKS", 4)  # the server is in this process
    for _ in range(5):
        await ended(client)  # with two blocks
    assert (await prune(client)).pruned == 5
    assert await left(client) == set()


async def test_a_call_takes_10000_and_says_that_there_are_more(
    client: Client, database_url: str, tenant: str
) -> None:
    run = await finish_run(client, (await running(client)).id)
    await sql(
        database_url,
        "INSERT INTO task_records (tenant, id, status, create_time, update_time, end_time)"
        " SELECT tenant, 'copy-' || n, status, create_time, update_time, end_time"
        " FROM task_records, generate_series(1, 10000) n WHERE tenant = :tenant AND id = :id"
        " RETURNING id",
        tenant=tenant,
        id=run.id,
    )
    dry = await prune(client, dry_run=True)
    assert (dry.pruned, dry.more) == (10_000, True)
    answer = await prune(client)
    assert (answer.pruned, answer.more) == (10_000, True)
    answer = await prune(client)
    assert (answer.pruned, answer.more) == (1, False)
    answer = await prune(client)
    assert (answer.pruned, answer.more) == (0, False)


async def test_a_time_is_required(client: Client) -> None:
    with refused(StatusCode.INVALID_ARGUMENT) as refusal:
        await client.records.PruneTaskRecords(PruneTaskRecordsRequest())
    assert refusal.fields == ["ended_before"]
