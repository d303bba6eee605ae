"""Rows that PostgreSQL lets nobody change, and one that cannot be read: trouble on purpose."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg

from tests.support.steps import sql


@asynccontextmanager
async def trouble(
    database_url: str, table: str, when: str, *, does: str = "RAISE EXCEPTION 'seeded'"
) -> AsyncIterator[None]:
    """While entered, an insert or update of a row for which `when` (of NEW) is true `does` it."""
    name = f"seeded_{uuid.uuid4().hex[:8]}"
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as admin:
        await admin.execute(
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN {does}; RETURN NEW; END $$"
        )
        await admin.execute(
            f"CREATE TRIGGER {name} BEFORE INSERT OR UPDATE ON {table}"
            f" FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION {name}()"
        )
        try:
            yield
        finally:
            await admin.execute(f"DROP TRIGGER {name} ON {table}")
            await admin.execute(f"DROP FUNCTION {name}")


async def spoil(database_url: str, run: str) -> None:
    """From now on the run's row cannot be read: its input is no message."""
    await sql(
        database_url,
        "UPDATE task_records SET input = '\\xff' WHERE id = :id RETURNING id",
        id=run,
    )
