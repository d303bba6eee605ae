"""Whether PostgreSQL is there at all, and is what it should be, asked before anything else is."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import structlog

from vwed_grpc.storage.connector import Connection, Connector, NotSetUpError
from vwed_grpc.storage.errors import DRIVER_ERRORS, sqlstate

log = structlog.get_logger("vwed")

_ANSWER_SECONDS = 5.0
"""How long one try may take: a host that swallows packets says nothing at all."""
_FIRST_PAUSE, _LAST_PAUSE = 0.1, 1.0
_PASSES = ("08", "25006", "53300", "57P")
"""Connections that are refused, none that takes writes yet, too many of them, a server that starts
or stops."""


class NotReachable(Exception):
    """Nobody answers, or who answers lets nobody in for now; the message is for people."""


class NeverReachable(NotReachable):
    """What waiting does not mend: a wrong password, a database that there is not."""


async def until_reachable(
    url: str, patience: float, check: Callable[[Connection], Awaitable[None]]
) -> None:
    """Returns once a server of the URL takes writes; tries at least once, for `patience` seconds.

    Raises NotReachable, and what `check` raises of the database.
    """
    connector = Connector(url)
    until = time.monotonic() + patience
    pause, said = _FIRST_PAUSE, ""
    while True:
        try:
            with _reasons(connector.where):
                return await _look(connector, check)
        except NeverReachable:
            raise
        except NotReachable as away:
            left = until - time.monotonic()
            if left <= 0:
                raise
            if said != str(away):
                said = str(away)
                log.warning("waiting for PostgreSQL", why=said, at_most_seconds=round(left, 1))
            await asyncio.sleep(min(pause, left))
            pause = min(pause * 2, _LAST_PAUSE)


async def _look(connector: Connector, check: Callable[[Connection], Awaitable[None]]) -> None:
    connection = await connector.connect(
        timeout=_ANSWER_SECONDS,
        statement_cache_size=0,  # a pooler may be in between
        server_settings={"application_name": "vwed-grpc start"},
    )
    try:
        await check(connection)
    finally:
        await connection.close(timeout=_ANSWER_SECONDS)


@contextmanager
def _reasons(where: str) -> Iterator[None]:
    try:
        yield
    except (OSError, *DRIVER_ERRORS) as exc:
        said = (isinstance(exc, OSError) and exc.strerror) or str(exc) or type(exc).__name__
        if isinstance(exc, TimeoutError):  # most have no text
            said = "no answer"
        reason = f"{where}: {' '.join(said.split())}"
        state = sqlstate(exc)
        passes = state.startswith(_PASSES) if state else not isinstance(exc, NotSetUpError)
        raise (NotReachable if passes else NeverReachable)(reason) from exc
    except TypeError as exc:  # what the URL says to the driver, it takes for an argument
        option = str(exc).rpartition(" ")[2]
        raise NeverReachable(f"the URL has an option that nobody knows: {option}") from exc
