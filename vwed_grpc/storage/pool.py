"""The connections to PostgreSQL of one purpose, and what is asked of them."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar, cast

import asyncpg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from vwed_grpc.storage.by_key import ByKey, reader
from vwed_grpc.storage.codecs import set_codecs
from vwed_grpc.storage.connection_queue import ConnectionQueue
from vwed_grpc.storage.connector import Connection, Connector
from vwed_grpc.storage.errors import connection_losses, public_errors, sqlstate
from vwed_grpc.storage.incarnation import CurrentIncarnation
from vwed_grpc.storage.statement import Statement
from vwed_grpc.storage.traced import trace_statements
from vwed_grpc.storage.transaction import Transaction, WritesHeld, transact

T = TypeVar("T")

Deadline = Callable[[], float | None]
"""Seconds that the caller still waits; None: for ever."""

LIFE_SECONDS = 300
"""After which a connection is replaced. A process of PostgreSQL remembers how it did what it was
asked, and takes more memory the longer it lives."""

_RETRIED_STATES = {"40001", "40P01"}  # serialization failure, deadlock
_TRIES = 8
"""With about 2 s of pauses between them."""
_LAST_SECONDS = 1.0
"""How long what is under way may take to end when a pool is closed."""


class Pool:
    """Transactions, and reads that are put together at run time.

    Nobody waits longer for a connection than a statement may take. Raises what callers are told
    (see `storage.errors`), Busy among it.
    """

    def __init__(
        self,
        connector: Connector,
        *,
        connections: int,
        purpose: str = "some",
        statement_timeout: float = 5.0,
    ) -> None:
        self._connector = connector
        self._name = f"vwed-grpc {purpose}"
        self._options: dict[str, Any] = {
            "timeout": statement_timeout,
            "command_timeout": statement_timeout * 2,
            "server_settings": {"application_name": self._name, "timezone": "UTC"},
        }
        prepared = {}
        if (
            connector.pooled
        ):  # it passes no other settings on, and a session ends with a transaction
            self._options["statement_cache_size"] = 0
            prepared = {"prepared_statement_cache_size": 0}
        else:
            self._options["server_settings"] |= {
                # JIT compiles our short statements for ten times the work it saves.
                "jit": "off",
                # A process frozen in the middle of a transaction must not keep its locks.
                "idle_in_transaction_session_timeout": "10000",
                "statement_timeout": str(int(statement_timeout * 1000)),
            }
        # SQLAlchemy begins no transaction on these: the driver does, for a third of the cost.
        self._engine = create_async_engine(
            connector.url.set(drivername="postgresql+asyncpg"),
            isolation_level="AUTOCOMMIT",
            pool_size=connections,
            max_overflow=0,
            pool_recycle=LIFE_SECONDS,
            connect_args={"async_creator_fn": connector.connect, **prepared, **self._options},
        )
        sa.event.listen(self._engine.sync_engine, "checkout", _is_alive)
        trace_statements(self._engine.sync_engine)
        self.purpose = purpose
        self._queue = ConnectionQueue(purpose, connections, statement_timeout)

    @property
    def incarnation(self) -> CurrentIncarnation:
        """Of the data that it reads and writes."""
        return self._connector.incarnation

    @property
    def queues(self) -> Sequence[ConnectionQueue]:
        """Where callers wait for its connections."""
        return (self._queue,)

    def abandon(self) -> None:
        """Ends its connections, for their server does not answer."""
        self._connector.abandon(self._name)

    async def close(self) -> None:
        """Waits a moment for what is under way: its connections would be nobody's to close."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_SECONDS):
                while cast("sa.QueuePool", self._engine.pool).checkedout():  # noqa: ASYNC110 - the pool has no Event
                    await asyncio.sleep(0.01)
        await self._engine.dispose()

    async def select(
        self, statement: sa.Executable, parameters: Mapping[str, Any] | None = None
    ) -> Sequence[sa.Row[Any]]:
        """The rows of one read, with SQLAlchemy's types."""

        async def read() -> Sequence[sa.Row[Any]]:
            async with self._queue, self._engine.connect() as connection:
                return (await connection.execute(statement, parameters)).all()

        return await _read(read)

    async def run(
        self,
        work: Callable[[Transaction], Awaitable[T]],
        remaining: Deadline = lambda: None,
        *,
        commit: bool = True,
        wait_for_locks: bool = True,
    ) -> T:
        """Runs `work` in one transaction and commits it, or with `commit=False` rolls it back.

        Serialization failures, deadlocks and lost connections are retried while `remaining` lasts,
        and so is what comes while nobody may write yet; a COMMIT whose answer was lost is never
        repeated blindly: see `transact`, also for locks.
        """

        async def once() -> T:
            with connection_losses():
                async with self._queue, self._engine.connect() as connection:
                    return await transact(
                        connection,
                        work,
                        self._connector,
                        commit=commit,
                        wait_for_locks=wait_for_locks,
                    )

        with public_errors():
            for tried in range(1, _TRIES):
                try:
                    return await once()
                except (DBAPIError, WritesHeld) as exc:
                    pause = min(0.01 * 2**tried, 0.5)
                    if isinstance(exc, WritesHeld):
                        pause = exc.seconds
                    left = remaining()
                    if not _worth_retrying(exc) or (left is not None and left <= pause):
                        raise
                await asyncio.sleep(pause)
            return await once()


class ReadingPool(Pool):
    """With connections of the driver's own besides, for single reads that never change.

    Those have times as `storage.codecs` says.
    """

    def __init__(
        self,
        connector: Connector,
        *,
        connections: int,
        reads: int,
        purpose: str = "some",
        statement_timeout: float = 5.0,
    ) -> None:
        """`reads` connections for single reads, `connections` for all else."""
        super().__init__(
            connector, connections=connections, purpose=purpose, statement_timeout=statement_timeout
        )
        self._readers = asyncpg.create_pool(
            min_size=0,
            max_size=reads,
            # What is open stays open, for it was needed once.
            max_inactive_connection_lifetime=0,
            connect=connector.connect,
            connection_class=Connection,
            init=set_codecs,
            # Single reads leave nothing behind; the driver's own reset is a round trip.
            reset=_nothing_to_reset,
            **self._options,
        )
        self._patience = statement_timeout
        self._read_queue = ConnectionQueue(purpose, reads, statement_timeout)
        self._by_key = reader(self.fetch)

    @property
    def queues(self) -> Sequence[ConnectionQueue]:
        return (self._queue, self._read_queue)

    async def close(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_SECONDS):
                await self._readers  # it may never have been used
                await self._readers.close()
        await super().close()

    async def fetch(
        self, statement: Statement, parameters: Mapping[str, Any] | None = None
    ) -> Sequence[sa.Row[Any]]:
        """The rows of one read."""

        async def read() -> Sequence[sa.Row[Any]]:
            async with self._read_queue:
                await self._readers  # set up by whoever comes first; no connection is made by that
                connection = await self._readers.acquire()
                try:
                    return await statement.run(connection, parameters or {})
                finally:
                    await self._readers.release(connection, timeout=self._patience)

        return await _read(read)

    async def row(self, statement: ByKey, tenant: str, *key: str) -> sa.Row[Any] | None:
        """The row under a key, as it is after this call began; who asks at once shares a read."""
        return await self._by_key.ask((statement, tenant), key)


async def _read(read: Callable[[], Awaitable[T]]) -> T:
    """Once more on another connection, if the first had died while it was pooled."""
    with public_errors():
        try:
            with connection_losses():
                return await read()
        except DBAPIError as exc:
            if not exc.connection_invalidated:
                raise
        with connection_losses():
            return await read()


def _is_alive(connection: Any, _record: object, _proxy: object) -> None:
    """Raises InvalidatePoolError if a pooled connection is dead: after a restart all of them are.

    The driver knows without a round trip. SQLAlchemy would learn it from statements of its own.
    """
    if connection.driver_connection.is_closed():
        raise sa.exc.InvalidatePoolError


async def _nothing_to_reset(_: asyncpg.Connection) -> None:
    pass


def _worth_retrying(exc: DBAPIError | WritesHeld) -> bool:
    if isinstance(exc, WritesHeld):
        return True
    return exc.connection_invalidated or sqlstate(exc) in _RETRIED_STATES
