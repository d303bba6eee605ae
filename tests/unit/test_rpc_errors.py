import asyncio
import base64
import pickle
from threading import Thread
from typing import Any
from urllib.parse import quote

import pytest
from google.rpc import (  # type: ignore[import-untyped]  # has no types
    code_pb2,
    error_details_pb2,
    status_pb2,
)
from structlog.testing import capture_logs

from tests.support.waiting import PATIENCE
from vwed_grpc.domain import errors
from vwed_grpc.domain.errors import InvalidArgument, NotFound, Violation, VwedError
from vwed_grpc.rpc.errors import InternalError, draining, drop_tracebacks, to_status, told

SECRETS = ("SELECT", "postgresql://", "/var/lib", "Traceback", "hunter2", "robots")


def kept_from(told: VwedError) -> VwedError:
    """An error whose cause callers must not see."""
    told.__cause__ = OSError("postgresql://u:hunter2@db/robots at /var/lib: SELECT 1")
    return told


def details(status: status_pb2.Status, kind: Any) -> Any:
    found = [kind.FromString(any_.value) for any_ in status.details if any_.Is(kind.DESCRIPTOR)]
    assert len(found) <= 1
    return found[0] if found else None


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (1, "a0: bad"),
        (3, "a0: bad; a1: bad; a2: bad"),
        (4, "a0: bad; a1: bad; a2: bad; and 1 more"),
        (9, "a0: bad; a1: bad; a2: bad; and 6 more"),
    ],
)
def test_the_first_of_many_violations_are_in_the_message(count: int, text: str) -> None:
    told = InvalidArgument(*(Violation(f"a{n}", "bad") for n in range(count)))
    assert (told.reason, told.message, len(told.violations)) == ("INVALID_FIELD", text, count)


VWED_ERRORS = [
    InvalidArgument.of("task_def.name", "must be given"),
    errors.NotFound("TASK_DEF_NOT_FOUND", "no task_def d-1", metadata={"id": "d-1"}),
    errors.AlreadyExists("NAME_TAKEN", "the name is taken"),
    errors.FailedPrecondition("ILLEGAL_TRANSITION", "no", metadata={"from": "A", "to": "B"}),
    errors.Aborted("ETAG_MISMATCH", "the etag differs"),
    errors.OutOfRange("EVENTS_GONE", "too old", metadata={"oldest_seq": "7", "current_seq": "9"}),
    errors.ResourceExhausted("TOO_MANY_STREAMS", "too many", retry_after=0.25),
    errors.Unavailable("STORE_UNAVAILABLE", "away", retry_after=1.5),
    errors.DeadlineExceeded("DEADLINE_EXCEEDED", "late"),
    errors.Unimplemented("UNIMPLEMENTED", "not yet"),
    errors.Unauthenticated("TOKEN_MISSING", "a token is needed"),
    errors.PermissionDenied("SCOPE_MISSING", "no scope a", metadata={"scope": "a"}),
    InternalError(),
]


def test_a_full_disk_is_no_fault_of_the_caller() -> None:
    told = errors.disk_full()
    assert (told.code, told.reason) == ("RESOURCE_EXHAUSTED", "DISK_FULL")
    assert (told.message, told.retry_after) == ("the store's disk is full", 5.0)


def test_the_table_has_every_class() -> None:
    assert {type(error) for error in VWED_ERRORS} >= set(VwedError.__subclasses__())


@pytest.mark.parametrize("error", VWED_ERRORS, ids=lambda error: error.code)
def test_an_error_comes_whole_from_another_process(error: VwedError) -> None:
    come = pickle.loads(pickle.dumps(error))
    assert (type(come), come.args, vars(come)) == (type(error), error.args, vars(error))


@pytest.mark.parametrize("error", VWED_ERRORS, ids=lambda error: error.code)
def test_every_code(error: VwedError) -> None:
    status = to_status(error, "r-1")
    assert status.code == code_pb2.Code.Value(error.code)
    assert status.message == error.message
    info = details(status, error_details_pb2.ErrorInfo)
    assert (info.domain, info.reason, dict(info.metadata)) == ("vwed", error.reason, error.metadata)
    assert details(status, error_details_pb2.RequestInfo).request_id == "r-1"
    bad = details(status, error_details_pb2.BadRequest)
    assert (
        [(v.field, v.description) for v in bad.field_violations if bad]
        == [(v.field, v.description) for v in error.violations]
        if bad
        else not error.violations
    )
    retry = details(status, error_details_pb2.RetryInfo)
    assert (retry and retry.retry_delay.ToNanoseconds() / 1e9) == error.retry_after


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (
            kept_from(errors.Unavailable("STORE_UNAVAILABLE", "away", retry_after=1.0)),
            "UNAVAILABLE",
            "STORE_UNAVAILABLE",
        ),
        (asyncio.CancelledError(), "UNAVAILABLE", "WORK_CANCELLED"),
        (draining(), "UNAVAILABLE", "DRAINING"),
        (KeyError("SELECT"), "INTERNAL", "INTERNAL"),
        (RuntimeError("Traceback /var/lib hunter2"), "INTERNAL", "INTERNAL"),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_other_exceptions(error: BaseException, code: str, reason: str) -> None:
    with capture_logs() as logs:
        status = to_status(error, "r-1")
    assert status.code == code_pb2.Code.Value(code)
    assert details(status, error_details_pb2.ErrorInfo).reason == reason
    assert details(status, error_details_pb2.RequestInfo).request_id == "r-1"
    assert (code == "UNAVAILABLE") == bool(details(status, error_details_pb2.RetryInfo))
    for secret in SECRETS:
        assert secret.encode() not in status.SerializeToString()
    if error.__cause__ or not isinstance(error, VwedError):
        assert [line["request_id"] for line in logs] == ["r-1"]
        assert ("exc_info" in logs[0]) == (code == "INTERNAL")


def test_told_keeps_our_own_errors() -> None:
    error = NotFound("X", "y")
    assert told(error) is error


@pytest.mark.parametrize("character", ["a", "%", "木", "\0"])
def test_fits_the_trailers_of_every_client(character: str) -> None:
    """8 KiB in all; see grpc.max_metadata_size, and grpc-java's default."""
    path = "config." + character * 400
    violations = [Violation(f"{path}[{i}]", character * 200) for i in range(1000)]
    status = to_status(InvalidArgument(*violations), "r" * 128)
    info = details(status, error_details_pb2.ErrorInfo)
    assert info.metadata["violations_total"] == "1000"
    assert details(status, error_details_pb2.BadRequest).field_violations
    trailers = len(base64.b64encode(status.SerializeToString())) + len(quote(status.message, " "))
    assert trailers + len("grpc-status-details-bingrpc-messagegrpc-status") + 3 * 32 < 8192


def test_errors_that_led_to_each_other_lose_their_tracebacks() -> None:
    """As two errors do that are answers of shared work, and are raised anew in each other's hands.

    On a thread, which a test that fails leaves behind.
    """
    raised = list[Exception]()
    for error in ValueError("a"), ValueError("b"):
        try:
            raise error
        except ValueError as caught:
            raised.append(caught)
    a, b = raised
    a.__cause__, b.__context__ = b, a
    dropping = Thread(target=drop_tracebacks, args=(a,), daemon=True)
    dropping.start()
    dropping.join(PATIENCE)
    assert not dropping.is_alive()
    assert (a.__traceback__, b.__traceback__) == (None, None)
