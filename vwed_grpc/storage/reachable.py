"""Whether PostgreSQL is there at all, asked before anything else is."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import create_async_engine

from vwed_grpc.storage.errors import DRIVER_ERRORS, sqlstate

log = structlog.get_logger("vwed")

_ANSWER_SECONDS = 5.0
"""How long one try may take: a host that swallows packets says nothing at all."""
_FIRST_PAUSE, _LAST_PAUSE = 0.1, 1.0
_PASSES = ("08", "53300", "57P")
"""Connections that are refused, too many of them, a server that starts or stops."""


class NotReachable(Exception):
    """Nobody answers, or who answers lets nobody in for now; the message is for people."""


class NeverReachable(NotReachable):
    """What waiting does not mend: a wrong password, a database that there is not."""


async def until_reachable(url: str, patience: float) -> None:
    """Returns once somebody may connect; tries at least once, and for `patience` seconds.

    Raises NotReachable.
    """
    engine = create_async_engine(
        sa.make_url(url).set(drivername="postgresql+asyncpg"),
        poolclass=sa.NullPool,
        connect_args={"timeout": _ANSWER_SECONDS},
    )
    until = time.monotonic() + patience
    pause, said = _FIRST_PAUSE, ""
    while True:
        try:
            with _reasons():
                async with engine.connect():
                    return
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


@contextmanager
def _reasons() -> Iterator[None]:
    try:
        yield
    except (sa.exc.DBAPIError, OSError, *DRIVER_ERRORS) as exc:
        said = exc.orig if isinstance(exc, sa.exc.DBAPIError) else exc
        reason = " ".join(str(said).split()) or type(said).__name__
        state = sqlstate(exc)
        passes = state is None or state.startswith(_PASSES)
        raise (NotReachable if passes else NeverReachable)(reason) from exc
