"""A pool that is closed while a transaction is under way, or its connections are gone."""

import asyncio

import psycopg
import pytest
import sqlalchemy as sa
import uvloop

from tests.support.steps import sql
from tests.support.waiting import until_true
from vwed_grpc.storage.connector import Connector
from vwed_grpc.storage.pool import Pool
from vwed_grpc.storage.transaction import Transaction


async def test_what_is_under_way_ends_and_leaves_no_connection(database_url: str) -> None:
    pool = Pool(Connector(database_url), connections=2)
    begun: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def work(tx: Transaction) -> str:
        begun.set_result(await tx.session.scalar(sa.text("SELECT pg_backend_pid()")))
        await tx.session.execute(sa.text("SELECT pg_sleep(0.2)"))
        return "done"

    running = asyncio.create_task(pool.run(work))
    pid = await begun
    await pool.close()
    assert await running == "done"
    connected = "SELECT pid FROM pg_stat_activity WHERE pid = :pid"

    async def is_gone() -> bool:
        return not await sql(database_url, connected, pid=pid)

    await until_true(is_gone, what="the end of its connection")


async def test_connections_that_are_gone_are_closed_without_a_word(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The server ended them a moment ago, and the process has not heard of it."""

    async def pid_of(tx: Transaction) -> int:
        return int(await tx.session.scalar(sa.text("SELECT pg_backend_pid()")))

    async def close() -> None:
        pool = Pool(Connector(database_url), connections=1)
        pid = await pool.run(pid_of)
        with psycopg.connect(database_url) as admin:  # while the loop stands still
            admin.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])
        await pool.close()

    # With the loop of `serve`: that of the tests passes over what can't be written.
    await asyncio.to_thread(uvloop.run, close())
    assert not caplog.records
