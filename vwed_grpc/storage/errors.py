"""What PostgreSQL, its driver and SQLAlchemy raise, as the errors that callers are told.

Here is the one table of it. `storage.pool` maps what leaves storage; whatever is not in the table
is a fault of ours and passes unchanged.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import asyncpg
from sqlalchemy import exc as sa

from vwed_grpc.batching import Again
from vwed_grpc.domain.errors import (
    Aborted,
    ResourceExhausted,
    Unavailable,
    VwedError,
    disk_full,
)

DRIVER_ERRORS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what is left of a connection that was cut at a bad moment
)

LOCK_NOT_AVAILABLE = "55P03"


class Locked(Aborted, Again):
    """Another transaction has a row for longer than this one was to wait."""


def _locked() -> VwedError:
    return Locked("CONFLICT", "another call is changing the same data; try again")


def _conflict() -> VwedError:
    return Aborted("CONFLICT", "lost a race with another call on the same data; try again")


def _statement_timeout() -> VwedError:
    return ResourceExhausted("STATEMENT_TIMEOUT", "the query took longer than a query may")


def _out_of_reach() -> VwedError:
    return Unavailable("STORE_UNAVAILABLE", "the store is out of reach", retry_after=1.0)


SQLSTATES: dict[str, Callable[[], VwedError]] = {
    "40001": _conflict,  # serialization failure
    "40P01": _conflict,  # deadlock
    LOCK_NOT_AVAILABLE: _locked,
    "57014": _statement_timeout,
    "08": _out_of_reach,  # connection lost or refused
    "25006": _out_of_reach,  # read-only: this server is no longer the primary
    "25P03": _out_of_reach,  # the transaction lay idle, say in a frozen process, and was ended
    "28": _out_of_reach,  # the role may not log in, or has another password
    "3D": _out_of_reach,  # the database is gone
    "42501": _out_of_reach,  # the role may not connect to the database, or use what is in it
    "53": _out_of_reach,  # out of connections or memory
    "53100": disk_full,
    "55000": _out_of_reach,  # the database accepts no connections
    "57": _out_of_reach,  # shutting down, starting, crashed; the database is being dropped
    "58": _out_of_reach,  # the server's own disk or files
}
"""By the longest prefix of what PostgreSQL says."""


def sqlstate(error: BaseException) -> str | None:
    """PostgreSQL's error code, if it said one."""
    driver = error.orig if isinstance(error, sa.DBAPIError) else error
    return getattr(driver, "sqlstate", None)


def public(error: BaseException) -> VwedError | None:
    """What callers are told of an error of the store; None: it is a fault of ours."""
    if state := sqlstate(error):
        prefixes = (state[:length] for length in (5, 4, 2))
        return next((SQLSTATES[p]() for p in prefixes if p in SQLSTATES), None)
    return _out_of_reach() if _is_out_of_reach(error) else None


def _is_out_of_reach(error: BaseException) -> bool:
    if isinstance(error, sa.DBAPIError):
        if isinstance(getattr(error.orig, "__cause__", None), ValueError):
            return False  # asyncpg calls it an interface error when a parameter has a wrong value
        return error.connection_invalidated or isinstance(
            error, (sa.InterfaceError, sa.OperationalError)
        )
    # TimeoutError is an OSError: the driver's own, and asyncio's.
    return isinstance(error, (sa.TimeoutError, OSError))


@contextmanager
def public_errors() -> Iterator[None]:
    """Lets out what callers are told in place of what the driver or SQLAlchemy raises."""
    try:
        yield
    except (sa.SQLAlchemyError, OSError, *DRIVER_ERRORS) as error:
        told = public(error)
        if told is None:
            raise
        raise told from error


_LAST_WORDS = ("57P0", "08", "25P03", "25006")
"""The server or this connection ends, or the server is the primary no more."""


def connection_is_lost(exc: sa.DBAPIError) -> bool:
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
def connection_losses() -> Iterator[None]:
    """Makes every way in which a connection is lost look the same: `connection_invalidated`."""
    try:
        yield
    except sa.DBAPIError as exc:
        exc.connection_invalidated = connection_is_lost(exc)
        raise
    except DRIVER_ERRORS as exc:
        # While it is set up, SQLAlchemy passes the driver's own errors on.
        raise sa.DBAPIError(None, None, exc, connection_invalidated=True) from exc
