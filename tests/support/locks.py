"""Rows that somebody else has."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine


@asynccontextmanager
async def locked(database_url: str, table: str, column: str, value: str) -> AsyncIterator[None]:
    """Holds the locks of the rows with this value while entered."""
    engine = create_async_engine(sa.make_url(database_url).set(drivername="postgresql+asyncpg"))
    rows = sa.table(table, sa.column(column))
    async with engine.begin() as connection:
        await connection.execute(
            sa.select(rows.c[column]).where(rows.c[column] == value).with_for_update()
        )
        yield
    await engine.dispose()
