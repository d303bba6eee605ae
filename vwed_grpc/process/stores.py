"""PostgreSQL and Redis, ready to be used: given by their URLs, or started here."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from vwed_grpc import embedded
from vwed_grpc.domain.errors import VwedError
from vwed_grpc.settings import NO_REDIS, Settings
from vwed_grpc.storage import pulse, schema
from vwed_grpc.storage.database import Database, plain_reason, sync_engine
from vwed_grpc.storage.reachable import NotReachable, until_reachable


class CannotServeError(RuntimeError):
    """Why the server does not start, in one line for people."""


@dataclass(frozen=True, slots=True)
class Stores:
    database_url: str
    redis_url: str | None
    """None: no cache."""
    data: Path | None
    """What is on the disk that the embedded PostgreSQL may fill; None: it is none of ours."""


async def open_stores(stack: AsyncExitStack, settings: Settings) -> Stores:
    """Starts what has no URL, waits for the database that has one, and checks its schema.

    Our own database's is brought up to date. A Redis is not waited for: it may come later.

    Raises CannotServeError, DataDirInUse, EmbeddedServerError or SchemaMismatchError.
    """
    database_url, redis_url = settings.database_url, settings.redis_url
    if database_url is None or redis_url is None:
        await stack.enter_async_context(embedded.lock_data_dir(settings.data_dir))
    if database_url is None:
        database_url = await stack.enter_async_context(embedded.postgres(settings.data_dir))
        await asyncio.to_thread(_migrate, database_url)
    try:
        await until_reachable(database_url, settings.start_timeout, schema.check)
    except NotReachable as exc:
        raise CannotServeError(f"the database cannot be used: {exc}") from exc
    if redis_url is None:
        redis_url = await stack.enter_async_context(embedded.valkey(settings.data_dir))
    return Stores(
        database_url=database_url,
        redis_url=None if redis_url == NO_REDIS else redis_url,
        data=settings.data_dir if settings.database_url is None else settings.watched_dir,
    )


async def first_beat(database: Database) -> None:
    """Finds out which copy of the data this is. Raises CannotServeError."""
    try:
        await pulse.beat(database.probe)
    except VwedError as exc:
        why = exc.__cause__
        said = plain_reason(why) if isinstance(why, sa.exc.DBAPIError) else str(why or exc)
        raise CannotServeError(f"the database cannot be used: {said}") from exc


def _migrate(database_url: str) -> None:
    engine = sync_engine(database_url)
    try:
        schema.migrate(engine)
    except sa.exc.DBAPIError as exc:
        raise CannotServeError(f"the database cannot be used: {plain_reason(exc)}") from exc
    finally:
        engine.dispose()
