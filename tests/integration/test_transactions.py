"""A transaction of the service: the driver's and the session's statements are one, or nothing."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from vwed_grpc.storage.database import Database, Transaction, sqlstate
from vwed_grpc.storage.statement import Statement, Together

_MADE = Statement("SELECT count(*) AS made FROM idempotency_keys WHERE tenant = :tenant")
_MAKE = """
    INSERT INTO idempotency_keys
           (tenant, request_id, method, fingerprint, resource_ids, expire_time)
    VALUES (:tenant, :id, 'm', '', '{}', now() + interval '1 day')
"""


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """With one connection for transactions: what one leaves behind, the next one meets."""
    database = Database(database_url, connections=1)
    yield database
    await database.close()


async def made(database: Database, tenant: str) -> int:
    return int((await database.fetch(_MADE, {"tenant": tenant}))[0].made)


async def make(tx: Transaction, tenant: str, id_: str) -> None:
    await tx.session.execute(sa.text(_MAKE), {"tenant": tenant, "id": id_})


async def test_driver_and_session_see_each_other_and_commit_together(
    database: Database, tenant: str
) -> None:
    async def work(tx: Transaction) -> int:
        await make(tx, tenant, "1")
        await tx.fetch(Statement(_MAKE), {"tenant": tenant, "id": "2"})
        found = await tx.session.execute(
            sa.text("SELECT count(*) FROM idempotency_keys WHERE tenant = :t"), {"t": tenant}
        )
        assert await made(database, tenant) == 0  # others see nothing yet
        return int(found.scalar_one())

    assert await database.run(work, commit=False) == 2
    assert await made(database, tenant) == 0
    assert await database.run(work) == 2
    assert await made(database, tenant) == 2


async def test_what_fails_leaves_nothing_not_even_on_its_connection(
    database: Database, tenant: str
) -> None:
    async def fails(tx: Transaction) -> None:
        await make(tx, tenant, "1")
        await tx.session.execute(sa.text("SELECT 1/0"))

    async def goes_well(tx: Transaction) -> None:
        await make(tx, tenant, "2")

    with pytest.raises(DBAPIError) as failure:
        await database.run(fails)
    assert sqlstate(failure.value) == "22012"
    await database.run(goes_well)
    assert await made(database, tenant) == 1


async def test_who_is_cancelled_leaves_nothing_either(database: Database, tenant: str) -> None:
    async def hangs(tx: Transaction) -> None:
        await make(tx, tenant, "1")
        await tx.session.execute(sa.text("SELECT pg_sleep(60)"))

    async def goes_well(tx: Transaction) -> None:
        await make(tx, tenant, "2")

    hanging = asyncio.create_task(database.run(hangs))
    await asyncio.sleep(0.2)
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging
    await database.run(goes_well)
    assert await made(database, tenant) == 1


async def test_an_error_that_was_passed_over_is_not_taken_for_a_commit(
    database: Database, tenant: str
) -> None:
    """PostgreSQL answers the COMMIT of a failed transaction without an error."""

    async def passes_over(tx: Transaction) -> None:
        await make(tx, tenant, "1")
        with pytest.raises(DBAPIError):
            await tx.session.execute(sa.text("SELECT 1/0"))

    with pytest.raises(RuntimeError, match="passed over"):
        await database.run(passes_over)
    assert await made(database, tenant) == 0


async def test_statements_together_are_one_and_keep_their_parameters(
    database: Database, tenant: str
) -> None:
    one = Statement(_MAKE)
    gone = Statement("DELETE FROM idempotency_keys WHERE tenant = :tenant AND request_id = :id")

    async def work(tx: Transaction) -> None:
        await make(tx, tenant, "old")
        await tx.together(
            Together(gone, one, one),
            {"tenant": tenant, "id": "old"},
            {"tenant": tenant, "id": "new"},
            {"tenant": tenant, "id": "newer"},
        )

    await database.run(work)
    found = await database.fetch(
        sa.text("SELECT request_id FROM idempotency_keys WHERE tenant = :t ORDER BY 1"),
        {"t": tenant},
    )
    assert [row.request_id for row in found] == ["new", "newer"]
