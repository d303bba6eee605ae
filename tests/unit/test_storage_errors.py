"""What each error of the store is to a caller."""

import pytest
from sqlalchemy import exc as sa

from vwed_grpc.storage.errors import Locked, public, public_errors


class Postgres(Exception):
    def __init__(self, sqlstate: str | None = None) -> None:
        super().__init__("postgresql://u:hunter2@db/robots at /var/lib: SELECT 1")
        self.sqlstate = sqlstate


def wrapped(
    cause: BaseException, cls: type[sa.DBAPIError] = sa.DBAPIError, *, lost: bool = False
) -> sa.DBAPIError:
    return cls("SELECT * FROM robots", {}, cause, connection_invalidated=lost)


def wrong_parameter() -> sa.DBAPIError:
    adapted = Postgres()
    adapted.__cause__ = ValueError("value out of int32 range")
    return wrapped(adapted, sa.InterfaceError)


OUT_OF_REACH = (
    "08006", "25006", "25P03", "28000", "28P01", "3D000", "42501", "53300", "55000",
    "57000", "57P01", "57P03", "57P04", "58030",
)  # fmt: skip


@pytest.mark.parametrize("state", OUT_OF_REACH)
def test_every_way_of_being_out_of_reach_is_unavailable(state: str) -> None:
    for error in (Postgres(state), wrapped(Postgres(state)), wrapped(Postgres(state), lost=True)):
        told = public(error)
        assert told is not None
        assert (told.code, told.reason) == ("UNAVAILABLE", "STORE_UNAVAILABLE")
        assert told.retry_after


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (wrapped(Postgres("40001")), "ABORTED", "CONFLICT"),
        (wrapped(Postgres("40P01"), sa.OperationalError), "ABORTED", "CONFLICT"),
        (Postgres("40001"), "ABORTED", "CONFLICT"),
        (wrapped(Postgres("55P03")), "ABORTED", "CONFLICT"),
        (wrapped(Postgres("57014")), "RESOURCE_EXHAUSTED", "STATEMENT_TIMEOUT"),
        (wrapped(Postgres("53100")), "RESOURCE_EXHAUSTED", "DISK_FULL"),
        (wrapped(Postgres(), lost=True), "UNAVAILABLE", "STORE_UNAVAILABLE"),
        (wrapped(Postgres(), sa.InterfaceError), "UNAVAILABLE", "STORE_UNAVAILABLE"),
        (wrapped(Postgres(), sa.OperationalError), "UNAVAILABLE", "STORE_UNAVAILABLE"),
        (sa.TimeoutError("pool of postgresql://"), "UNAVAILABLE", "STORE_UNAVAILABLE"),
        (ConnectionRefusedError("/var/lib/s"), "UNAVAILABLE", "STORE_UNAVAILABLE"),
        (TimeoutError(), "UNAVAILABLE", "STORE_UNAVAILABLE"),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_what_callers_are_told(error: BaseException, code: str, reason: str) -> None:
    told = public(error)
    assert told is not None
    assert (told.code, told.reason) == (code, reason)
    for secret in ("SELECT", "postgresql://", "/var/lib", "hunter2", "robots"):
        assert secret not in told.message


def test_a_row_that_stays_locked_has_a_class_of_its_own() -> None:
    assert isinstance(public(wrapped(Postgres("55P03"))), Locked)


@pytest.mark.parametrize(
    "error",
    [
        wrapped(Postgres("23505"), sa.IntegrityError),
        wrapped(Postgres("22021")),
        wrong_parameter(),
        KeyError("SELECT"),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_what_is_a_fault_of_ours_leaves_as_it_is(error: BaseException) -> None:
    assert public(error) is None
    with pytest.raises(type(error)) as caught, public_errors():
        raise error
    assert caught.value is error


def test_the_cause_is_kept_for_the_log() -> None:
    error = wrapped(Postgres("08006"))
    with pytest.raises(Exception, match="out of reach") as caught, public_errors():
        raise error
    assert caught.value.__cause__ is error
