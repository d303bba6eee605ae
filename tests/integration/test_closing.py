"""A database that is closed while a transaction is under way."""

import asyncio

import sqlalchemy as sa

from tests.integration.steps import sql
from vwed_grpc.storage.database import Database, Transaction


async def test_what_is_under_way_ends_and_leaves_no_connection(database_url: str) -> None:
    database = Database(database_url)
    begun: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def work(tx: Transaction) -> str:
        begun.set_result(await tx.session.scalar(sa.text("SELECT pg_backend_pid()")))
        await tx.session.execute(sa.text("SELECT pg_sleep(0.2)"))
        return "done"

    running = asyncio.create_task(database.run(work))
    pid = await begun
    await database.close()
    assert await running == "done"
    connected = "SELECT pid FROM pg_stat_activity WHERE pid = :pid"
    async with asyncio.timeout(5):
        while await sql(database_url, connected, pid=pid):  # noqa: ASYNC110 - it is elsewhere
            await asyncio.sleep(0.01)
