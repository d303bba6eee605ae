"""PostgreSQL: transactions, single reads, sync sessions for scripts."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar, cast

import asyncpg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncSession,
    create_async_engine,
)
from sqlalchemy.orm import Session, sessionmaker

from vwed_grpc.domain.errors import ResourceExhausted, Unavailable
from vwed_grpc.storage.by_key import ByKey, reader
from vwed_grpc.storage.codecs import set_codecs
from vwed_grpc.storage.errors import DRIVER_ERRORS, public_errors, sqlstate
from vwed_grpc.storage.statement import Statement, Together, command

T = TypeVar("T")
Executor = AsyncConnection | AsyncSession
"""What repositories run their statements on."""

Deadline = Callable[[], float | None]
"""Seconds that the caller still waits; None: for ever."""


def longest(deadlines: Sequence[Deadline]) -> Deadline:
    """As long as any of these callers waits."""

    def remaining() -> float | None:
        lefts = [left for deadline in deadlines if (left := deadline()) is not None]
        return max(lefts) if len(lefts) == len(deadlines) else None

    return remaining


_RETRIED_STATES = {"40001", "40P01"}  # serialization failure, deadlock
_LAST_WORDS = ("57P0", "08", "25P03")  # the server or this connection ends
_LAST_SECONDS = 1.0
"""How long what is under way may take to end when the database is closed."""
_DECISION_SECONDS = 5.0
"""How long is asked what became of a COMMIT; longer than PostgreSQL takes to come back."""


@dataclass(slots=True)
class Transaction:
    """A write under way: the database's clock at its begin, and its number."""

    now: datetime
    xact: int
    reachable_since: datetime
    """Since when executors could renew their leases; see `storage.pulse`."""
    _connection: AsyncConnection
    _driver: asyncpg.Connection
    """The same one, without SQLAlchemy."""
    _session: AsyncSession | None = None

    def ran_out(self, expire_time: datetime, lease: timedelta) -> bool:
        """Whether a lease with this end is over, of which only reachable time counts."""
        return max(expire_time, self.reachable_since + lease) <= self.now

    @property
    def session(self) -> AsyncSession:
        """For statements that are put together at run time; it neither begins nor ends anything."""
        if self._session is None:
            self._session = AsyncSession(self._connection, expire_on_commit=False)
        return self._session

    async def fetch(
        self, statement: Statement, parameters: Mapping[str, Any]
    ) -> Sequence[sa.Row[Any]]:
        """The rows of one statement of this transaction."""
        return await statement.run(self._driver, parameters)

    async def together(self, statements: Together, *parameters: Mapping[str, Any]) -> None:
        """Runs statements that answer nothing as one, with the parameters of each."""
        await statements.run(self._driver, parameters)

    async def each(self, statement: Statement, rows: Sequence[Mapping[str, Any]]) -> None:
        """Runs a statement that answers nothing once for each set of parameters."""
        await statement.run_each(self._driver, rows)


class Database:
    """Everything that reaches PostgreSQL goes through here.

    A third of its connections is for reads by key and pages of lists, which are short; the rest is
    for transactions, and for what may look at many rows (totals, figures).

    Raises what callers are told (see `storage.errors`). Inside a transaction statements raise
    SQLAlchemy's own errors.
    """

    def __init__(self, url: str, *, connections: int = 10, statement_timeout: float = 5.0) -> None:
        self.url = sa.make_url(url).set(drivername="postgresql+asyncpg")
        options = {
            "timeout": statement_timeout,
            "command_timeout": statement_timeout * 2,
            "server_settings": {
                # JIT compiles our short statements for ten times the work it saves.
                "jit": "off",
                "timezone": "UTC",
                # A process frozen in the middle of a transaction must not keep its locks.
                "idle_in_transaction_session_timeout": "10000",
                "statement_timeout": str(int(statement_timeout * 1000)),
                "application_name": "vwed-grpc",
            },
        }
        reading = max(1, connections // 3)
        # SQLAlchemy begins no transaction on these: the driver does, for a third of the cost.
        self._engine = create_async_engine(
            self.url,
            isolation_level="AUTOCOMMIT",
            pool_size=max(1, connections - reading),
            max_overflow=0,
            # Waiting longer for a connection than a statement may take helps nobody.
            pool_timeout=statement_timeout,
            connect_args=options,
        )
        sa.event.listen(self._engine.sync_engine, "checkout", _is_alive)
        self._patience = statement_timeout
        self._readers = asyncpg.create_pool(
            min_size=0,
            max_size=reading,
            init=set_codecs,
            # Single reads leave nothing behind; the driver's own reset is a round trip.
            reset=_nothing_to_reset,
            **self._engine.dialect.create_connect_args(self.url)[1],
            **options,
        )

        self._pages = asyncio.Semaphore(max(1, reading - 1))
        self._by_key = reader(self.fetch)

    async def close(self) -> None:
        """Waits a moment for what is under way: its connections would be nobody's to close."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_SECONDS):
                await self._readers  # it may never have been used
                await self._readers.close()
                while cast("sa.QueuePool", self._engine.pool).checkedout():  # noqa: ASYNC110 - the pool has no Event
                    await asyncio.sleep(0.01)
        await self._engine.dispose()

    async def fetch(
        self, statement: sa.Executable | Statement, parameters: Mapping[str, Any] | None = None
    ) -> Sequence[sa.Row[Any]]:
        """The rows of one read. Retried once on a connection that had died while it was pooled.

        Those of a Statement have times as `storage.codecs` says.
        """
        with public_errors():
            return await self._read(statement, parameters)

    async def _read(
        self, statement: sa.Executable | Statement, parameters: Mapping[str, Any] | None
    ) -> Sequence[sa.Row[Any]]:
        try:
            return await self._fetch(statement, parameters)
        except DBAPIError as exc:
            if not exc.connection_invalidated:
                raise
            return await self._fetch(statement, parameters)

    async def page(
        self, statement: Statement, parameters: Mapping[str, Any]
    ) -> Sequence[sa.Row[Any]]:
        """As `fetch`, for what a filter may make slow: a connection is left for reads by key.

        Raises ResourceExhausted if other pages do not end.
        """
        try:
            async with asyncio.timeout(self._patience):
                await self._pages.acquire()
        except TimeoutError:
            raise ResourceExhausted(
                "TOO_MANY_LISTS", "other lists take long to read", retry_after=1.0
            ) from None
        try:
            return await self.fetch(statement, parameters)
        finally:
            self._pages.release()

    async def row(self, statement: ByKey, tenant: str, *key: str) -> sa.Row[Any] | None:
        """The row under a key, as it is after this call began; who asks at once shares a read."""
        return await self._by_key.ask((statement, tenant), key)

    async def _fetch(
        self, statement: sa.Executable | Statement, parameters: Mapping[str, Any] | None
    ) -> Sequence[sa.Row[Any]]:
        with _connection_losses():
            if isinstance(statement, Statement):
                await self._readers  # set up by whoever comes first; no connection is made by that
                async with asyncio.timeout(self._patience):  # the pool's own makes a task for it
                    reader = await self._readers.acquire()
                try:
                    return await statement.run(reader, parameters or {})
                finally:
                    await self._readers.release(reader, timeout=self._patience)
            async with self._engine.connect() as connection:
                return (await connection.execute(statement, parameters)).all()

    async def run(
        self,
        work: Callable[[Transaction], Awaitable[T]],
        remaining: Deadline = lambda: None,
        *,
        commit: bool = True,
    ) -> T:
        """Runs `work` in one transaction and commits it, or with `commit=False` rolls it back.

        Serialization failures, deadlocks and lost connections are retried while `remaining` lasts;
        a COMMIT whose answer was lost is looked up by its number, never repeated blindly. Raises
        Unavailable OUTCOME_UNKNOWN if even that cannot be learned.
        """
        with public_errors():
            return await self._run(work, remaining, commit=commit)

    async def _run(
        self, work: Callable[[Transaction], Awaitable[T]], remaining: Deadline, *, commit: bool
    ) -> T:
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self._run_once(work, commit=commit)
            except DBAPIError as exc:
                if not _worth_retrying(exc):
                    raise
                pause = min(0.01 * 2**attempt, 0.5)
                left = remaining()
                if attempt >= 8 or (left is not None and left <= pause):  # noqa: PLR2004 - about 2 s of pauses
                    raise
                await asyncio.sleep(pause)

    async def _run_once(self, work: Callable[[Transaction], Awaitable[T]], *, commit: bool) -> T:
        with _connection_losses():
            async with self._engine.connect() as connection:
                driver = (await connection.get_raw_connection()).driver_connection
                committed = False
                try:
                    await command(driver, "BEGIN")
                    begun = (await _BEGUN.run(driver, {}))[0]
                    # Amid a gap nobody knows yet when it ends: not before now.
                    reachable_since = begun.reachable_since or begun.now
                    answer = await work(
                        Transaction(begun.now, begun.xact, reachable_since, connection, driver)
                    )
                    if commit:
                        committed = await self._commit(driver, begun.xact)
                    return answer
                finally:
                    if not committed:
                        await _roll_back(connection, driver)

    async def _commit(self, driver: asyncpg.Connection, xact: int) -> bool:
        """Whether PostgreSQL said that it is committed; False: it was looked up that it is."""
        try:
            done = await command(driver, "COMMIT")
        except (DBAPIError, OSError) as exc:
            if not _answer_lost(exc) or not await self._committed(xact):
                raise
            return False
        if done != "COMMIT":  # PostgreSQL's whole answer to the COMMIT of what has failed
            raise RuntimeError("a statement had failed, and its error was passed over")
        return True

    async def _committed(self, xact: int) -> bool:
        """Whether the transaction whose COMMIT was not answered took place.

        Raises Unavailable if nobody can say: what is unknown must not be tried again here.
        """
        until = asyncio.get_running_loop().time() + _DECISION_SECONDS
        while True:
            try:
                state = (await self._read(_XACT_STATUS, {"xact": xact}))[0][0]
            except (SQLAlchemyError, OSError) as exc:
                if asyncio.get_running_loop().time() > until:
                    raise Unavailable(
                        "OUTCOME_UNKNOWN", "the store left before it said whether it was written"
                    ) from exc
            else:
                if state != "in progress":
                    return bool(state == "committed")
            await asyncio.sleep(0.05)


GAP = timedelta(seconds=2)
"""If no server says for so long that it can write, leases begin anew. Four beats: a busy machine
may be late with one or two."""
_BEGUN = Statement(
    sa.text("""
    SELECT clock_timestamp() AS now, (pg_current_xact_id()::text)::bigint AS xact,
           (SELECT reachable_since FROM service_pulse
             WHERE tenant = '' AND beat >= clock_timestamp() - CAST(:gap AS interval))
           AS reachable_since
""").bindparams(gap=GAP)
)
_XACT_STATUS = Statement("SELECT pg_xact_status(CAST(:xact AS bigint)::text::xid8)")


async def _roll_back(connection: AsyncConnection, driver: asyncpg.Connection) -> None:
    """Whatever the driver believes: it does not know of a BEGIN that is still under way.

    Where that fails the connection is not used again.
    """
    try:
        await command(driver, "ROLLBACK")
    except (DBAPIError, OSError) as exc:
        await connection.invalidate(exc)
    except asyncio.CancelledError as exc:
        await connection.invalidate(exc)
        raise


def _is_alive(connection: Any, _record: object, _proxy: object) -> None:
    """Raises InvalidatePoolError if a pooled connection is dead: after a restart all of them are.

    The driver knows without a round trip. SQLAlchemy would learn it from statements of its own.
    """
    if connection.driver_connection.is_closed():
        raise sa.exc.InvalidatePoolError


async def _nothing_to_reset(_: asyncpg.Connection) -> None:
    pass


def _answer_lost(exc: BaseException) -> bool:
    return not isinstance(exc, DBAPIError) or _connection_lost(exc)


def _worth_retrying(exc: DBAPIError) -> bool:
    return exc.connection_invalidated or sqlstate(exc) in _RETRIED_STATES


def _connection_lost(exc: DBAPIError) -> bool:
    """The server's last word may come before the connection is seen to be closed."""
    return (
        exc.connection_invalidated
        or (sqlstate(exc) or "").startswith(_LAST_WORDS)
        or isinstance(exc.orig, asyncpg.InternalClientError)
        or isinstance(getattr(exc.orig, "__cause__", None), asyncpg.InternalClientError)
        # A connection that is closed, or a pool that is; a value of a wrong type is one as well.
        or (isinstance(exc.orig, asyncpg.InterfaceError) and not isinstance(exc.orig, ValueError))
    )


@contextmanager
def _connection_losses() -> Iterator[None]:
    """Makes every way in which a connection is lost look the same: `connection_invalidated`."""
    try:
        yield
    except DBAPIError as exc:
        exc.connection_invalidated = _connection_lost(exc)
        raise
    except DRIVER_ERRORS as exc:
        # While it is set up, SQLAlchemy passes the driver's own errors on.
        raise DBAPIError(None, None, exc, connection_invalidated=True) from exc


def plain_reason(exc: DBAPIError) -> str:
    """What PostgreSQL or its driver said, in one line for operators; no password is in it."""
    return " ".join(str(exc.orig).split())


def sync_engine(url: str) -> sa.Engine:
    """The same database for migrations and scripts, without an event loop (psycopg)."""
    given = sa.make_url(url).set(drivername="postgresql+psycopg")
    # Left alone, a host that swallows packets is waited for over two minutes.
    patience = {} if "connect_timeout" in given.query else {"connect_timeout": 5}
    return sa.create_engine(given, connect_args=patience)


def sync_sessions(engine: sa.Engine) -> sessionmaker[Session]:
    """Sync sessions over the same tables as the service's async ones."""
    return sessionmaker(engine, expire_on_commit=False)
