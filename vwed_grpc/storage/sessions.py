"""Sessions for scripts and reports: over the models, to read.

What one reads is of one moment, however many statements that takes. It cannot write: PostgreSQL
refuses what would change rows without their events and leave old values in the cache.
"""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import Session, sessionmaker

from vwed_grpc.storage.hosts import parsed, tls, without_tls

_OPTIONS = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}


def sync_sessions(engine: sa.Engine) -> sessionmaker[Session]:
    """Of `database.sync_engine`; closed by who opens them, as the engine is."""
    return sessionmaker(engine.execution_options(**_OPTIONS))


def async_engine(url: str) -> AsyncEngine:
    """The service's database, with the service's driver (asyncpg), apart from its pools."""
    given = parsed(url).set(drivername="postgresql+asyncpg")
    return create_async_engine(without_tls(given), connect_args=dict(tls(given)))


def async_sessions(engine: AsyncEngine) -> async_sessionmaker[AsyncSession]:
    """As `sync_sessions`, in an event loop."""
    return async_sessionmaker(engine.execution_options(**_OPTIONS))
