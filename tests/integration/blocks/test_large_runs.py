"""What is done to a run with very many blocks takes many short statements, not a long one."""

import asyncio
from contextlib import AbstractAsyncContextManager

import psycopg

from tests.integration.runs.test_retry import FROM_FAILURE, retry
from tests.integration.runs.test_runs_delete import delete
from tests.integration.runs.test_runs_prune import prune
from tests.integration.watching.test_watch_delivery import replica
from tests.support.aging import left, rows_of
from tests.support.broken_rows import small_statements
from tests.support.calls import finish_run
from tests.support.databases import migrated_database
from tests.support.large_runs import large
from tests.support.steps import block, report, running, sql
from tests.support.watching import watching
from vwed.client import Client
from vwed_grpc.domain.blocks import RUNNING, SUCCEEDED
from vwed_grpc.domain.lifecycle import CANCELED, FAILED
from vwed_grpc.settings import Settings
from vwed_grpc.storage.block_records import PAGE

BLOCKS = 20_000


def in_pieces(database_url: str) -> AbstractAsyncContextManager[None]:
    """While entered, no statement may do something to all of the blocks, or to their events."""
    return small_statements(database_url, BLOCKS // 4, "block_records", "task_record_events")


async def test_it_ends_in_one_group_and_is_deleted(
    client: Client, database_url: str, tenant: str
) -> None:
    run = await large(client, database_url, tenant, BLOCKS, RUNNING)
    other = await running(client)
    async with in_pieces(database_url), watching(client, run, after_seq=BLOCKS + 2) as seen:
        ending = asyncio.create_task(finish_run(client, run, FAILED, error_message="stuck"))
        reported = 0
        while not ending.done():  # others go on meanwhile
            await report(client, other.id, block(f"b{reported}", SUCCEEDED))
            reported += 1
        ended = await ending
        assert reported > 1
        await seen.end()
    assert (ended.seq, ended.block_counts.canceled) == (2 * BLOCKS + 3, BLOCKS)
    assert seen.seq == ended.seq
    assert [m.more for m in seen.messages] == [True] * (len(seen.messages) - 1) + [False]
    assert seen.changes[-1].task_record.error_message == "stuck"
    of_blocks = [event.block_record for event in seen.changes[:-1]]
    assert {b.status for b in of_blocks} == {7}
    assert [b.first_seq for b in of_blocks] == list(range(3, BLOCKS + 3))
    groups = await sql(
        database_url,
        "SELECT DISTINCT group_seq, xact FROM task_record_events"
        " WHERE tenant = :tenant AND task_record_id = :run AND seq > :seq",
        tenant=tenant,
        run=run,
        seq=BLOCKS + 2,
    )
    assert [row.group_seq for row in groups] == [ended.seq]
    async with in_pieces(database_url):
        await delete(client, run)
    assert set((await rows_of(database_url, run)).values()) == {0}


async def test_who_watches_where_it_ends_is_told_all(
    client: Client, database_url: str, tenant: str
) -> None:
    """More than is kept in memory: the commit only wakes who watches."""
    run = await large(client, database_url, tenant, 3 * PAGE + 1, RUNNING)
    async with watching(client, run) as seen:
        await seen.reach(3 * PAGE + 3)
        ended = await finish_run(client, run, CANCELED)
        await seen.end()
    assert [event.seq for event in seen.changes] == list(range(3 * PAGE + 4, ended.seq + 1))
    assert len(seen.changes) == 3 * PAGE + 2
    stored = await sql(
        database_url,
        "SELECT status, count(*), min(seq - first_seq), max(seq - first_seq) FROM block_records"
        " WHERE tenant = :tenant AND task_record_id = :run GROUP BY status",
        tenant=tenant,
        run=run,
    )
    assert [tuple(row) for row in stored] == [(7, 3 * PAGE + 1, 3 * PAGE + 1, 3 * PAGE + 1)]


async def test_it_is_retried_and_pruned(client: Client, database_url: str, tenant: str) -> None:
    run = await large(client, database_url, tenant, BLOCKS, SUCCEEDED)
    await finish_run(client, run, FAILED)
    async with in_pieces(database_url):
        again = await retry(client, run, FROM_FAILURE)
        assert (again.block_counts.succeeded, again.seq) == (BLOCKS, BLOCKS + 1)
        assert (await rows_of(database_url, again.id))["block_records"] == BLOCKS
        await finish_run(client, again.id, FAILED)
        assert (await prune(client, -1)).pruned == 2
    assert await left(client) == set()
    assert set((await rows_of(database_url, run)).values()) == {0}


async def test_it_is_retried_whatever_the_statistics_say(
    settings: Settings, postgres_url: str, tenant: str
) -> None:
    """They are of a time when nearly all rows of the table had just been deleted."""
    with migrated_database(postgres_url) as url:
        own = settings.model_copy(update={"database_url": url})
        async with (
            await psycopg.AsyncConnection.connect(url, autocommit=True) as admin,
            replica(own, tenant, "none") as client,
        ):
            await admin.execute("ALTER TABLE block_records SET (autovacuum_enabled = off)")
            await large(client, url, tenant, BLOCKS, SUCCEEDED)
            await admin.execute("DELETE FROM block_records")
            for other in [await running(client) for _ in range(30)]:
                await report(client, other.id, block("a", SUCCEEDED))
            await admin.execute("ANALYZE block_records")
            run = await large(client, url, tenant, 2 * BLOCKS, SUCCEEDED)
            await finish_run(client, run, FAILED)
            again = await retry(client, run, FROM_FAILURE)
        assert again.block_counts.succeeded == 2 * BLOCKS
