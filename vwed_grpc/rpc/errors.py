"""What the caller is told of an exception, and how that goes on the wire.

What the store's errors mean stands in `storage.errors`. What a driver says stays in the log: no
message shows SQL, a DSN, a path or a traceback.
"""

import asyncio

import structlog
from google.rpc import (  # type: ignore[import-untyped]  # googleapis-common-protos has no types
    code_pb2,
    error_details_pb2,
    status_pb2,
)

from vwed_grpc.domain.errors import Unavailable, VwedError

DOMAIN = "vwed"

# Details and message travel as trailers, and many clients take 8 KiB of them in all, counted after
# the base64 of the details and the percent-encoding of the message; above it the caller would see
# its own library's error instead of ours.
_DETAILS_BYTES = 4_800
_MESSAGE_BYTES = 1_000
_TEXT_BYTES = 600

log = structlog.get_logger()


class InternalError(VwedError):
    """A fault of ours. The caller learns the request id, the log the rest."""

    code = "INTERNAL"

    def __init__(self) -> None:
        super().__init__("INTERNAL", "internal error; the server's log has it by the request id")


def draining() -> VwedError:
    """This server is about to stop; another, or its successor, will answer."""
    return Unavailable("DRAINING", "the server is shutting down", retry_after=1.0)


def told(error: BaseException) -> VwedError:
    """What the caller is told of any exception."""
    if isinstance(error, VwedError):
        return error
    if isinstance(error, asyncio.CancelledError):
        # Not of this call: of work that it shared with another one.
        return Unavailable("WORK_CANCELLED", "the work was given up; try again", retry_after=0.1)
    return InternalError()


def drop_tracebacks(error: BaseException) -> None:
    """For an exception that nobody looks at any more; also of those that led to it.

    A frame that it went through often holds a future, or the call, that holds the exception. Such
    a circle, with the request in it, would stay until the collector finds it, after thousands of
    calls. What led to an error that is raised again may lead back to it.
    """
    cause: BaseException | None = error
    seen = set[int]()
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        cause.__traceback__ = None
        cause = cause.__cause__ or cause.__context__


def to_status(error: BaseException, request_id: str) -> status_pb2.Status:
    """The whole answer: code, message, ErrorInfo, RequestInfo, and BadRequest and RetryInfo if due.

    Logs what the caller is not told, and drops the tracebacks. Violations that would not fit are
    left out, and ErrorInfo's metadata says `violations_total`.
    """
    public = told(error)
    unsaid = error if public is not error else error.__cause__
    if isinstance(public, InternalError):
        log.error("internal error", request_id=request_id, exc_info=unsaid)
    elif unsaid is not None:
        log.warning(public.message, request_id=request_id, reason=public.reason, error=repr(unsaid))
    drop_tracebacks(error)

    status = status_pb2.Status(
        code=code_pb2.Code.Value(public.code), message=_message(public.message)
    )
    info = error_details_pb2.ErrorInfo(
        reason=public.reason,
        domain=DOMAIN,
        metadata={key: _cut(value) for key, value in public.metadata.items()},
    )
    request = error_details_pb2.RequestInfo(request_id=request_id)
    used = status.ByteSize() + info.ByteSize() + request.ByteSize() + 300  # type URLs, RetryInfo
    bad = error_details_pb2.BadRequest()
    for violation in public.violations:
        field = bad.field_violations.add(
            field=_cut(violation.field), description=_cut(violation.description)
        )
        used += field.ByteSize() + 4
        if used > _DETAILS_BYTES:
            del bad.field_violations[-1]
            info.metadata["violations_total"] = str(len(public.violations))
            break

    status.details.add().Pack(info)
    status.details.add().Pack(request)
    if bad.field_violations:
        status.details.add().Pack(bad)
    if public.retry_after is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(int(public.retry_after * 1e9))
        status.details.add().Pack(retry)
    return status


def _message(text: str) -> str:
    encoded = sum(1 if 0x20 <= byte <= 0x7E else 3 for byte in text.encode())  # noqa: PLR2004 - ASCII
    return text if encoded <= _MESSAGE_BYTES else _cut(text, _MESSAGE_BYTES // 3)


def _cut(text: str, size: int = _TEXT_BYTES) -> str:
    raw = text.encode()
    return text if len(raw) <= size else raw[: size - 3].decode(errors="ignore") + "…"
