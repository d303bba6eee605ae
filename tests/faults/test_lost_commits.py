"""A COMMIT whose answer is lost is decided, never repeated: each change is there once, or not."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterator

import psycopg
import pytest
import sqlalchemy as sa

from tests.support.clusters import Cluster, clusters
from vwed_grpc.domain.errors import Unavailable, VwedError
from vwed_grpc.storage import feed, pulse, schema
from vwed_grpc.storage.connector import Connector
from vwed_grpc.storage.database import Database, sync_engine
from vwed_grpc.storage.pool import Pool
from vwed_grpc.storage.transaction import Transaction

WRITERS = 8
SECONDS, ENOUGH = 4.0, 100
"""How long it goes on at least, and until how many changes were acknowledged."""
_INSERT = sa.text("INSERT INTO lost_commits VALUES (:n)")


async def test_each_change_is_made_once(database_url: str) -> None:
    pool = Pool(Connector(database_url), connections=WRITERS + 2)
    acknowledged: set[int] = set()
    numbers = iter(range(1 << 30))
    refused: Counter[str] = Counter()
    until = asyncio.get_running_loop().time() + SECONDS

    def goes_on() -> bool:
        return len(acknowledged) < ENOUGH or asyncio.get_running_loop().time() < until

    async def write() -> None:
        while goes_on():
            n = next(numbers)

            async def work(tx: Transaction, n: int = n) -> None:
                await tx.session.execute(_INSERT, {"n": n})

            try:
                await pool.run(work, lambda: 5.0)
            except VwedError as exc:  # a caller is told no other
                refused[repr(exc)[:200]] += 1
            else:
                acknowledged.add(n)

    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as admin:
        await admin.execute("CREATE TABLE lost_commits (n int)")
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(WRITERS):
                    tasks.create_task(write())
                tasks.create_task(_terminate(admin, goes_on))
            found = await (
                await admin.execute("SELECT n, count(*) FROM lost_commits GROUP BY n")
            ).fetchall()
        finally:
            await pool.close()
            await admin.execute("DROP TABLE lost_commits")
    times: dict[int, int] = dict(found)
    assert not [n for n, count in times.items() if count > 1], refused
    assert not acknowledged - times.keys(), refused


@pytest.fixture
def server() -> Iterator[Cluster]:
    """One that is in no hurry to write what nobody waits for."""
    with clusters("one") as (cluster,):
        cluster.make()
        cluster.start()
        cluster.execute("ALTER SYSTEM SET wal_writer_delay = '10s'")
        cluster.execute("SELECT pg_reload_conf()")
        engine = sync_engine(cluster.url())
        schema.migrate(engine)
        engine.dispose()
        yield cluster


async def test_a_number_that_a_crash_gave_to_another_decides_nothing(server: Cluster) -> None:
    """What was not on the disk is forgotten, its number too: the next transaction has it again."""
    server.execute("CREATE TABLE lost_commits (n int)")
    pool = Pool(Connector(server.url()), connections=1)
    tries = 0

    async def work(tx: Transaction) -> None:
        nonlocal tries
        tries += 1
        await tx.session.execute(_INSERT, {"n": 1})
        server.kill()
        await asyncio.to_thread(server.start)
        last = 0
        while last < tx.xact:
            ((last,),) = server.execute("SELECT pg_current_xact_id()::text::bigint")
        assert server.execute(f"SELECT pg_xact_status('{tx.xact}')") == [("committed",)]

    with pytest.raises(Unavailable) as refusal:
        await pool.run(work)
    assert refusal.value.reason == "OUTCOME_UNKNOWN"
    assert tries == 1
    assert server.execute("SELECT n FROM lost_commits") == []
    await pool.close()


async def test_what_takes_a_number_after_a_crash_is_new_to_who_read_before(
    server: Cluster, tenant: str
) -> None:
    """Numbers that had ended, without a trace on the disk, are given out again."""
    database = Database(server.url(), connections=8, statement_timeout=5.0)

    async def number(tx: Transaction) -> int:
        return tx.xact

    await pulse.beat(database.probe)
    await feed.now(database.live, tenant)
    for _ in range(20):
        last = await database.urgent.run(number, commit=False)
    seen = (await feed.now(database.live, tenant)).snapshot
    server.kill()
    await asyncio.to_thread(server.start)
    again = await database.urgent.run(number)
    await database.close()
    assert again <= last
    assert not seen.sees(again)


async def _terminate(admin: psycopg.AsyncConnection, goes_on: Callable[[], bool]) -> None:
    """All connections at once, most often amid a COMMIT or amid the question what became of one."""
    while goes_on():
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name LIKE 'vwed-grpc%' AND datname = current_database()"
            " AND random() < 0.5"
        )
        await asyncio.sleep(random.uniform(0, 0.1))
