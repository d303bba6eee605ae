"""How connections to PostgreSQL are made: to the server that takes writes, wherever that is now."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from weakref import WeakSet

import asyncpg
import sqlalchemy as sa
import structlog
from sqlalchemy.exc import DBAPIError

from vwed_grpc.storage import timelines
from vwed_grpc.storage.demands import lacking
from vwed_grpc.storage.errors import DRIVER_ERRORS
from vwed_grpc.storage.hosts import (
    addresses,
    named,
    options,
    parsed,
    through_pgbouncer,
    without_tls,
)
from vwed_grpc.storage.incarnation import CurrentIncarnation

log = structlog.get_logger("vwed.database")

_HOST_SECONDS = 1.5
"""How long one of several hosts may take to connect: it may be gone without a word."""

RUN = """
    pg_postmaster_start_time()::text || ' ' ||
    coalesce((SELECT stats_reset::text FROM pg_stat_wal), '')
"""
"""From a start of the server to its end, or to a crash, which resets its statistics."""
_GREETING = f"""
    SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::bool AS read_only,
           current_setting('jit') = 'off' AND current_setting('statement_timeout') <> '0'
           AND current_setting('idle_in_transaction_session_timeout') <> '0' AS set_up,
           {RUN} AS run, {timelines.PLACE} AS place,
           CASE WHEN NOT pg_is_in_recovery() THEN {timelines.TIMELINE} END AS timeline
"""


class NotSetUpError(asyncpg.InterfaceError):  # type: ignore[misc]  # asyncpg ships no types
    """The server, or a session behind PgBouncer, is not as the service needs it."""


class Connection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg ships no types
    """A connection to a server that takes writes."""

    greeting: Mapping[str, Any]
    """What _GREETING found."""
    purpose: str
    """Of the pool that it was made for."""

    @property
    def run(self) -> str:
        """See RUN: which one of the server's it was made in."""
        return str(self.greeting["run"])

    @property
    def place(self) -> str:
        """See `timelines.PLACE`."""
        return str(self.greeting["place"])

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - the driver's
        """As the driver does; that the server has ended it first, unheard as yet, is no error."""
        with suppress(OSError):
            await super().close(timeout=timeout)


class Connector:
    """Makes connections for all pools of a process, and knows which copy of the data they reach."""

    def __init__(self, url: str) -> None:
        given = parsed(url)
        self.url = without_tls(given)
        self.where = named(given)
        self.pooled = through_pgbouncer(url)
        """Whether each transaction may have another session: nothing of one is kept then."""
        self.incarnation = CurrentIncarnation()
        self._addresses = list(addresses(given))
        self._options = options(given)
        self._made: WeakSet[Connection] = WeakSet()
        self._learning = asyncio.Lock()

    async def connect(self, _dsn: None = None, **given: Any) -> Connection:
        """A connection to the first host that takes writes, beginning with the last that did.

        It stands in for the driver's function of that name. Raises what that does.
        """
        wanted = {**self._options, **given, "connection_class": Connection}
        patience = float(given["timeout"])
        if len(self._addresses) > 1:
            patience = min(patience, _HOST_SECONDS)
        failures: list[BaseException] = []
        for address in list(self._addresses):
            try:
                async with asyncio.timeout(patience):
                    connection = await _connect({**wanted, **address, "timeout": patience})
                self._check(connection)
            except (OSError, *DRIVER_ERRORS) as exc:
                failures.append(exc)
                continue
            connection.purpose = given["server_settings"]["application_name"]
            self._made.add(connection)
            self._prefer(address)
            return connection
        raise failures[0]

    def _check(self, connection: Connection) -> None:
        """Raises ReadOnlySQLTransactionError or NotSetUpError, and ends the connection."""
        greeting, why = connection.greeting, None
        if greeting["read_only"]:
            why = asyncpg.ReadOnlySQLTransactionError("the server is not the primary")
        elif self._is_left_behind(connection.place, greeting["timeline"]):
            why = asyncpg.ReadOnlySQLTransactionError("the server is the primary no more")
        elif self.pooled and not greeting["set_up"]:
            why = NotSetUpError(
                "PgBouncer passes no settings on, so ALTER ROLE must give the role jit = off,"
                " a statement_timeout and an idle_in_transaction_session_timeout"
            )
        if why is not None:
            connection.terminate()
            raise why

    def _prefer(self, address: Mapping[str, Any]) -> None:
        self._addresses.sort(key=lambda other: other is not address)

    def knows(self, connection: Connection, marks: sa.Row[Any]) -> bool:
        """Whether a transaction found what was there before; `marks` are what it was told."""
        known = self.incarnation.known
        return known is not None and (
            (known.relation, known.timeline, known.id, known.place)
            == (marks.relation, marks.timeline, marks.copy, connection.place)
        )

    async def learn(self, connection: Connection) -> None:
        """Finds out which incarnation a connection reaches, and leaves those to any other server.

        Raises DBAPIError if that is a server which has been left behind by a failover, or another
        one than at first.
        """
        async with self._learning:
            found = await timelines.learn(connection)
            known = self.incarnation.known
            if known is not None and str(known) == str(found):
                return
            if found.place != connection.place or self._is_left_behind(found.place, found.timeline):
                connection.terminate()
                gone = asyncpg.ConnectionDoesNotExistError("the server is another one")
                raise DBAPIError(None, None, gone, connection_invalidated=True)
            if known is not None:
                log.warning("another incarnation", found=str(found), known=str(known))
            self.incarnation.change(found)
        self._end(lambda other: other.run != connection.run)

    def abandon(self, purpose: str) -> None:
        """Ends the connections of one purpose: what hangs on them fails, and is tried elsewhere."""
        self._end(lambda connection: connection.purpose == purpose)

    def _end(self, which: Callable[[Connection], bool]) -> None:
        for connection in [connection for connection in self._made if which(connection)]:
            connection.terminate()

    def _is_left_behind(self, place: str, timeline: int) -> bool:
        """Whether that was the primary before a failover, and has not heard of it."""
        known = self.incarnation.known
        return (
            known is not None
            and len(self._addresses) > 1
            and known.place == place
            and known.timeline > timeline
        )


async def _connect(wanted: Mapping[str, Any]) -> Connection:
    try:
        connection: Connection = await asyncpg.connect(**wanted)
    except asyncpg.ProtocolViolationError as exc:
        if "unsupported startup parameter" not in str(exc):
            raise
        raise NotSetUpError(
            "PgBouncer is in between: the database URL must say ?pgbouncer=true,"
            " see docs/operations.md"
        ) from exc
    encoding = getattr(connection.get_settings(), "server_encoding", "UTF8")  # a pooler may be mute
    if lack := lacking(connection.get_server_version().major, encoding):
        connection.terminate()
        raise NotSetUpError(lack)
    try:
        connection.greeting = await connection.fetchrow(_GREETING)
    except BaseException:
        connection.terminate()
        raise
    return connection
