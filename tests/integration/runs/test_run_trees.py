"""Runs below runs: what becomes of them when one in the middle goes, and who is kept for them."""

import pytest
from grpc import StatusCode
from vwed.v1.record_service_pb2 import (
    ListTaskRecordsRequest,
    PruneTaskRecordsRequest,
    RetryTaskRecordRequest,
)
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordFilter

from tests.integration.runs.test_runs_cancel import cancel
from tests.integration.runs.test_runs_delete import delete
from tests.integration.runs.test_runs_prune import ago, prune
from tests.support.aging import age, ended, left, until_none
from tests.support.calls import finish_run
from tests.support.feeding import feeding
from tests.support.steps import (
    block,
    everything,
    get,
    history,
    refused,
    report,
    running,
    struct,
)
from vwed.client import Client
from vwed_grpc.domain.blocks import RUNNING
from vwed_grpc.domain.lifecycle import CANCELED, CANCELING, FAILED, SUCCEEDED
from vwed_grpc.domain.retention import Retention
from vwed_grpc.server import serving
from vwed_grpc.settings import Settings


async def below(client: Client, parent: TaskRecord, block_record_id: str = "") -> TaskRecord:
    return await running(
        client,
        parent.task_def_id,
        parent_task_record_id=parent.id,
        parent_block_record_id=block_record_id,
    )


async def line(client: Client, length: int) -> list[TaskRecord]:
    """Runs, each below the one before; all are running."""
    runs = [await running(client)]
    while len(runs) < length:
        runs.append(await below(client, runs[-1]))
    return runs


async def test_the_runs_below_a_deleted_one_move_to_its_parent(client: Client) -> None:
    top, middle, bottom, deeper = await line(client, 4)
    reported = await report(client, top.id, block("a", RUNNING))
    by_block = await below(client, top, reported.block_records[0].id)
    under = await below(client, by_block)
    for run, child in ((middle, bottom), (by_block, under)):
        await finish_run(client, run.id)
        before = await get(client, child.id)
        await delete(client, run.id, force=True, reason="cleaning up")
        after = await get(client, child.id)
        assert after.parent_task_record_id == top.id
        assert after.parent_block_record_id == run.parent_block_record_id
        assert after.root_task_record_id == top.id
        assert (after.etag, after.status, after.seq) == (before.etag, before.status, before.seq + 1)
        assert await get(client, child.id, strong=True) == after
        event = (await history(client, child.id))[-1]
        assert event.task_record.parent_task_record_id == top.id
        assert (event.actor, event.reason) == ("tester", "cleaning up")
    assert (await get(client, deeper.id)).seq == deeper.seq  # nothing has changed for it
    listed = await client.records.ListTaskRecords(
        ListTaskRecordsRequest(filter=TaskRecordFilter(parent_task_record_id=top.id))
    )
    assert {run.id for run in listed.task_records} == {bottom.id, under.id}
    await cancel(client, top.id, cascade=True, force=True)
    for run in (bottom, deeper, under):
        assert (await get(client, run.id)).status == CANCELED


async def test_below_a_deleted_top_each_is_a_root_of_its_own(client: Client) -> None:
    top, first, deep, deeper = await line(client, 4)
    second = await below(client, top)
    await delete(client, top.id, force=True)
    for run, root, parent in (
        (first, first, ""),
        (second, second, ""),
        (deep, first, first.id),
        (deeper, first, deep.id),
    ):
        after = await get(client, run.id)
        assert (after.root_task_record_id, after.parent_task_record_id) == (root.id, parent)
        told = (await history(client, run.id))[-1].task_record
        assert told.root_task_record_id == root.id


async def test_that_a_run_moved_does_not_tell_its_payload_again(client: Client) -> None:
    _, middle, bottom = await line(client, 3)
    await finish_run(client, bottom.id, result=struct({"x": 1}))
    await delete(client, middle.id, force=True)
    *_, ended, moved = await history(client, bottom.id)
    assert ended.task_record.result == struct({"x": 1})
    assert not moved.task_record.HasField("result")


async def test_who_watches_what_is_below_a_run_is_told_that_it_moved(client: Client) -> None:
    top, middle, bottom = await line(client, 3)
    async with feeding(client, filter=TaskRecordFilter(parent_task_record_id=middle.id)) as seen:
        await delete(client, middle.id, force=True)
        await seen.reach(bottom.id, bottom.seq + 1)
        assert seen.changes[bottom.id][-1].task_record.parent_task_record_id == top.id


async def test_a_pinned_run_is_deleted_by_force_alone(client: Client) -> None:
    run = await ended(client, pinned=True)
    with refused(StatusCode.FAILED_PRECONDITION, "RUN_IS_PINNED"):
        await delete(client, run.id)
    await delete(client, run.id, force=True)
    with refused(StatusCode.NOT_FOUND):
        await get(client, run.id)


@pytest.mark.parametrize("force", [False, True])
async def test_cascade_on_a_final_run_cancels_those_below(client: Client, force: bool) -> None:
    top, middle, bottom = await line(client, 3)
    for run in (top, middle):
        await finish_run(client, run.id)
    before = await everything(client, top.id)
    assert await cancel(client, top.id, cascade=True, force=force) == before[0]
    assert await everything(client, top.id) == before
    assert (await get(client, middle.id)).status == SUCCEEDED
    assert (await get(client, bottom.id)).status == (CANCELED if force else CANCELING)


async def old(client: Client, database_url: str, tenant: str, *runs: TaskRecord) -> None:
    for run in runs:
        await finish_run(client, run.id, FAILED)
        await age(database_url, tenant, run.id, 5)


async def tidied(
    by: str, client: Client, settings: Settings, database_url: str, tenant: str
) -> set[str]:
    """What is left once all that is older than three days, and may go, has gone."""
    marker = await ended(client)
    await age(database_url, tenant, marker.id, 4)  # the last to go, as it ended last
    if by == "prune":
        dry = await client.records.PruneTaskRecords(
            PruneTaskRecordsRequest(ended_before=ago(3), dry_run=True)
        )
        assert (await prune(client, 3)).pruned == dry.pruned
    else:
        rules = {tenant: Retention(runs_days=3)}
        async with serving(settings.model_copy(update={"retention": rules})):
            gone = "SELECT 1 FROM task_records WHERE id = :id"
            await until_none(database_url, gone, id=marker.id)
    return await left(client)


BY = pytest.mark.parametrize("by", ["prune", "retention"])


@BY
async def test_a_run_with_an_open_one_below_is_kept(
    by: str, client: Client, settings: Settings, database_url: str, tenant: str
) -> None:
    top, middle, bottom = await line(client, 3)
    beside, under = await line(client, 2)
    await old(client, database_url, tenant, top, middle, beside, under)
    assert await tidied(by, client, settings, database_url, tenant) == {
        top.id, middle.id, bottom.id,
    }  # fmt: skip
    await old(client, database_url, tenant, bottom)
    assert await tidied(by, client, settings, database_url, tenant) == set()


@BY
async def test_what_is_left_below_pruned_runs_moves_up(
    by: str, client: Client, settings: Settings, database_url: str, tenant: str
) -> None:
    top, *between, bottom = await line(client, 4)
    await finish_run(client, bottom.id)
    await old(client, database_url, tenant, *between)
    assert await tidied(by, client, settings, database_url, tenant) == {top.id, bottom.id}
    after = await get(client, bottom.id)
    assert (after.parent_task_record_id, after.root_task_record_id) == (top.id, top.id)
    await old(client, database_url, tenant, top)
    assert await tidied(by, client, settings, database_url, tenant) == {bottom.id}
    after = await get(client, bottom.id)
    assert (after.parent_task_record_id, after.root_task_record_id) == ("", bottom.id)


@BY
async def test_a_run_with_an_open_retry_is_kept(
    by: str, client: Client, settings: Settings, database_url: str, tenant: str
) -> None:
    first = await ended(client, FAILED)
    second = await client.records.RetryTaskRecord(RetryTaskRecordRequest(id=first.id))
    await finish_run(client, second.id, FAILED)
    third = await client.records.RetryTaskRecord(RetryTaskRecordRequest(id=second.id))
    for run in (first, second):
        await age(database_url, tenant, run.id, 5)
    assert await tidied(by, client, settings, database_url, tenant) == {
        first.id, second.id, third.id,
    }  # fmt: skip
    await old(client, database_url, tenant, third)
    assert await tidied(by, client, settings, database_url, tenant) == set()
