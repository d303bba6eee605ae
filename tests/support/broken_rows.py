"""Rows that PostgreSQL lets nobody change, or only few at a time, and one that cannot be read."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import product

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


@asynccontextmanager
async def small_statements(database_url: str, most: int, *tables: str) -> AsyncIterator[None]:
    """While entered, a statement that writes or deletes more rows than that of a table fails."""
    name = f"small_{uuid.uuid4().hex[:8]}"
    events = {"INSERT": "NEW", "UPDATE": "NEW", "DELETE": "OLD"}
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as admin:
        await admin.execute(
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            f" IF (SELECT count(*) FROM changed) > {most} THEN RAISE EXCEPTION 'too many rows';"
            f" END IF; RETURN NULL; END $$"
        )
        try:
            for table, (event, rows) in product(tables, events.items()):
                await admin.execute(
                    f"CREATE TRIGGER {name}_{event} AFTER {event} ON {table}"
                    f" REFERENCING {rows} TABLE AS changed"
                    f" FOR EACH STATEMENT EXECUTE FUNCTION {name}()"
                )
            yield
        finally:
            await admin.execute(f"DROP FUNCTION {name} CASCADE")


async def spoil(database_url: str, run: str) -> None:
    """From now on the run's row cannot be read: its input is no message."""
    await sql(
        database_url,
        "UPDATE task_records SET input = '\\xff' WHERE id = :id RETURNING id",
        id=run,
    )
