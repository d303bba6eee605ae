"""One transaction: begun and ended by the driver, for a third of what it costs SQLAlchemy."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

import asyncpg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from vwed_grpc.domain.errors import Unavailable
from vwed_grpc.storage.connector import RUN, Connection, Connector
from vwed_grpc.storage.errors import connection_is_lost, connection_losses, sqlstate
from vwed_grpc.storage.incarnation import Incarnation, changed
from vwed_grpc.storage.statement import Statement, Together, command
from vwed_grpc.storage.timelines import RELATION, TIMELINE

T = TypeVar("T")

GAP = timedelta(seconds=2)
"""If no server says for so long that it can write, leases begin anew. Four beats: a busy machine
may be late with one or two."""
_DECISION_SECONDS = 5.0
"""How long is asked what became of a COMMIT; longer than PostgreSQL takes to come back."""

_BEGUN = Statement(
    sa.text(f"""
    SELECT clock_timestamp() AS now, (pg_current_xact_id()::text)::bigint AS xact,
           (SELECT reachable_since FROM service_pulse
             WHERE tenant = '' AND beat >= clock_timestamp() - CAST(:gap AS interval))
           AS reachable_since,
           {RELATION} AS relation, present.timeline, t.copy, t.writable_from
      FROM (SELECT {TIMELINE} AS timeline) present
      LEFT JOIN timelines t ON t.tenant = '' AND t.timeline = present.timeline
""").bindparams(gap=GAP)  # noqa: S608 - texts of our own
)
_BEGIN = {
    True: "BEGIN",
    # Both in one round trip.
    False: "BEGIN; SET LOCAL lock_timeout = '100ms'",
}
"""By whether it waits for the locks of others."""
_XACT_STATUS = Statement(f"""
    SELECT pg_xact_status(CAST(:xact AS bigint)::text::xid8) AS state, {RUN} AS run
""")
_IN_THE_FUTURE = "22023"
"""A transaction of that number has not begun there."""


class WritesHeld(Unavailable):
    """Servers may not know yet of a failover, so nothing is written for some `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            "STORE_UNAVAILABLE", "the store has failed over", retry_after=max(seconds, 0.1)
        )
        self.seconds = seconds


@dataclass(slots=True)
class Transaction:
    """A write under way: the database's clock at its begin, and its number.

    Its statements raise SQLAlchemy's own errors.
    """

    now: datetime
    xact: int
    reachable_since: datetime
    """Since when executors could renew their leases; see `storage.pulse`."""
    incarnation: Incarnation
    """Of the data that it reads and writes."""
    _connection: AsyncConnection
    _driver: asyncpg.Connection
    """The same one, without SQLAlchemy."""
    _session: AsyncSession | None = None

    def not_before(self, time: datetime) -> None:
        """What happens to a row never lies before what has happened to it.

        The transaction may have begun before the one that it had to wait for.
        """
        self.now = max(self.now, time)

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


async def transact(
    connection: AsyncConnection,
    work: Callable[[Transaction], Awaitable[T]],
    connector: Connector,
    *,
    commit: bool,
    wait_for_locks: bool,
) -> T:
    """Runs `work` in one transaction of the connection, and commits it or rolls it back.

    Unless it is to wait for the locks of others, a statement that meets one fails soon: Locked.

    A COMMIT whose answer was lost is looked up by its number. Raises Unavailable OUTCOME_UNKNOWN if
    even that cannot be learned, WritesHeld if nobody may write yet.
    """
    driver = await _driver_of(connection)
    ended = False
    try:
        await command(driver, _BEGIN[wait_for_locks])
        begun = (await _BEGUN.run(driver, {}))[0]
        if not connector.knows(driver, begun):
            await command(driver, "ROLLBACK")
            await connector.learn(driver)
            await command(driver, _BEGIN[wait_for_locks])
            begun = (await _BEGUN.run(driver, {}))[0]
            if not connector.knows(driver, begun):
                raise changed()  # once more, this very moment
        if commit and begun.writable_from > begun.now:
            raise WritesHeld((begun.writable_from - begun.now).total_seconds())
        # Amid a gap nobody knows yet when it ends: not before now.
        reachable_since = begun.reachable_since or begun.now
        tx = Transaction(
            begun.now,
            begun.xact,
            reachable_since,
            connector.incarnation.value,
            connection,
            driver,
        )
        answer = await work(tx)
        if commit:
            try:
                done = await command(driver, "COMMIT")
            except (DBAPIError, OSError) as exc:
                if isinstance(exc, DBAPIError) and not connection_is_lost(exc):
                    raise
                ended = True
                if not await _is_committed(connection, begun.xact, driver.run, exc):
                    raise
                return answer
            if done != "COMMIT":  # PostgreSQL's whole answer to the COMMIT of what has failed
                raise RuntimeError("a statement had failed, and its error was passed over")
            ended = True
        return answer
    finally:
        if not ended:
            await _roll_back(connection, driver)


async def _driver_of(connection: AsyncConnection) -> Connection:
    driver: Connection = (await connection.get_raw_connection()).driver_connection  # type: ignore[assignment]  # SQLAlchemy knows no driver's
    return driver


async def _is_committed(
    connection: AsyncConnection, xact: int, run: str, lost: BaseException
) -> bool:
    """Whether the transaction whose COMMIT was not answered took place.

    Asked in place of the connection that was lost: whoever lost one has no second one to wait for.
    A server that has crashed since, and one that was promoted, give numbers out again of which they
    know nothing; so "committed" is believed only in the run of the server in which the transaction
    began, while anything else holds of both transactions that may have had the number.

    Raises Unavailable if nobody can say: what is unknown must not be tried again here.
    """
    until = asyncio.get_running_loop().time() + _DECISION_SECONDS
    while True:
        await connection.invalidate(lost)
        # A session's begin, which SQLAlchemy would not let a new connection be used without.
        await connection.rollback()
        try:
            with connection_losses():
                driver = await _driver_of(connection)
                told = (await _XACT_STATUS.run(driver, {"xact": xact}))[0]
            if told.run == run and told.state != "in progress":
                return bool(told.state == "committed")
            if told.run != run:
                if told.state == "committed":
                    raise _outcome_unknown() from lost
                return False
        except (DBAPIError, OSError) as exc:
            if isinstance(exc, DBAPIError) and sqlstate(exc) == _IN_THE_FUTURE:
                return False
            lost = exc
            if asyncio.get_running_loop().time() > until:
                raise _outcome_unknown() from exc
        await asyncio.sleep(0.05)


def _outcome_unknown() -> Unavailable:
    return Unavailable("OUTCOME_UNKNOWN", "the store left before it said whether it was written")


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
