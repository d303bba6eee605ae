"""What the errors of a call say."""

from collections.abc import Callable
from functools import cached_property
from typing import TypeVar

import grpc
from google.protobuf.message import Message
from google.rpc import (  # type: ignore[import-untyped]  # googleapis-common-protos has no types
    error_details_pb2,
    status_pb2,
)
from grpc import StatusCode

Detail = TypeVar("Detail", bound=Message)
_DETAILS = "grpc-status-details-bin"
_REQUEST_ID = "x-request-id"
_TRANSPORT = {StatusCode.CANCELLED, StatusCode.INTERNAL, StatusCode.UNKNOWN}
"""How a reset stream, a proxy that gave up or a half-read answer may show."""
_NEVER_SENT = (
    "connections to all backends failing",
    "failed to connect to all addresses",
    "errors resolving ",
    "DNS resolution failed",
)
"""How gRPC's core begins when it found no connection to send a call on. It has no other sign of it;
should it change its words, calls that may not be repeated fail where they went on."""


class CallError(grpc.aio.AioRpcError):
    """What a call ended with, other than an answer; its subclasses tell the codes apart.

    Of the service's own errors all of it is set; transport errors, and what gRPC's core refuses,
    have neither reason nor fields. `str()` of it is one line: code, reason and message.
    """

    @property
    def reason(self) -> str:
        """Stable, UPPER_SNAKE: `TASK_RECORD_NOT_FOUND`. "" if the error is not the service's."""
        return str(self._info.reason)

    @property
    def metadata(self) -> dict[str, str]:
        """What belongs to the reason: `from` and `to` of an illegal transition, say."""
        return dict(self._info.metadata)

    @cached_property
    def fields(self) -> dict[str, str]:
        """Path of each bad field (`task_def.config.blocks[2].id`) -> what is wrong with it."""
        request = _detail(self, error_details_pb2.BadRequest) or error_details_pb2.BadRequest()
        return {bad.field: bad.description for bad in request.field_violations}

    @cached_property
    def request_id(self) -> str:
        """By which the server's log has this call; "" if it did not get there."""
        if request := _detail(self, error_details_pb2.RequestInfo):
            return str(request.request_id)
        begun = self.initial_metadata()
        return str(begun.get(_REQUEST_ID, "")) if begun is not None else ""

    @cached_property
    def retry_after(self) -> float | None:
        """Seconds after which the same request may succeed, if the service says so."""
        retry = _detail(self, error_details_pb2.RetryInfo)
        return None if retry is None else float(retry.retry_delay.ToNanoseconds() / 1e9)

    @cached_property
    def _info(self) -> error_details_pb2.ErrorInfo:
        return error_info(self) or error_details_pb2.ErrorInfo()

    def __str__(self) -> str:
        said = " ".join((self.details() or "").split())
        return f"{self.code().name}{self.reason and f' {self.reason}'}: {said}"


class InvalidArgument(CallError):
    """The request itself is wrong; `fields` says where."""


class NotFound(CallError):
    """There is no such thing in this tenant."""


class AlreadyExists(CallError):
    """The id or the name is taken, or the `request_id` belongs to another request."""


class FailedPrecondition(CallError):
    """The state of things does not allow it."""


class LeaseLost(FailedPrecondition):
    """The run has another holder, or another epoch; nothing was written."""


class RunTaken(FailedPrecondition):
    """Another executor holds the run."""


class IllegalTransition(FailedPrecondition):
    """The run's status does not allow it; `metadata` has `from` and `to`."""


class Aborted(CallError):
    """The etag is an old one, or a race was lost."""


class OutOfRange(CallError):
    """Before what is kept, or after what exists; `metadata` may say `oldest_seq`, `current_seq`."""


class ResourceExhausted(CallError):
    """A limit, which `reason` names."""


class Unavailable(CallError):
    """The server is away, or on its way out, or its store is. It may have done what was asked."""


class DeadlineExceeded(CallError):
    """No answer in time. The server may have done what was asked."""


class Unauthenticated(CallError):
    """There is no token, or a bad one."""


class PermissionDenied(CallError):
    """Whoever has this token may not."""


_BY_CODE: dict[StatusCode, type[CallError]] = {
    StatusCode.INVALID_ARGUMENT: InvalidArgument,
    StatusCode.NOT_FOUND: NotFound,
    StatusCode.ALREADY_EXISTS: AlreadyExists,
    StatusCode.FAILED_PRECONDITION: FailedPrecondition,
    StatusCode.ABORTED: Aborted,
    StatusCode.OUT_OF_RANGE: OutOfRange,
    StatusCode.RESOURCE_EXHAUSTED: ResourceExhausted,
    StatusCode.UNAVAILABLE: Unavailable,
    StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    StatusCode.UNAUTHENTICATED: Unauthenticated,
    StatusCode.PERMISSION_DENIED: PermissionDenied,
}
_BY_REASON: dict[str, type[FailedPrecondition]] = {
    "LEASE_LOST": LeaseLost,
    "RUN_TAKEN": RunTaken,
    "ILLEGAL_TRANSITION": IllegalTransition,
}


def call_error(exc: grpc.aio.AioRpcError) -> CallError:
    """The same error, with what it says laid open."""
    if isinstance(exc, CallError):
        return exc
    kind = _BY_CODE.get(exc.code(), CallError)
    if kind is FailedPrecondition and (info := error_info(exc)):
        kind = _BY_REASON.get(info.reason, kind)
    return kind(
        exc.code(),
        exc.initial_metadata(),
        exc.trailing_metadata(),
        exc.details(),
        exc.debug_error_string(),
    )


def error_info(exc: grpc.aio.AioRpcError) -> error_details_pb2.ErrorInfo | None:
    """The service's `reason`, `domain` and `metadata`; None if the error is not the service's own.

    Transport errors and what gRPC's core refuses carry none.
    """
    return _detail(exc, error_details_pb2.ErrorInfo)


def is_transient(exc: grpc.aio.AioRpcError) -> bool:
    """Whether the same request may succeed later.

    The server is away, or the connection broke, or others have all that such a call may take, and
    RetryInfo says so. What the service itself says with another code is its answer.
    """
    code = exc.code()
    if code is StatusCode.RESOURCE_EXHAUSTED:
        return was_refused(exc)
    return code is StatusCode.UNAVAILABLE or (code in _TRANSPORT and error_info(exc) is None)


def was_refused(exc: grpc.aio.AioRpcError) -> bool:
    """Whether the service did not begin with it, for want of room: nothing was done."""
    return (
        exc.code() is StatusCode.RESOURCE_EXHAUSTED
        and _detail(exc, error_details_pb2.RetryInfo) is not None
    )


def was_never_sent(exc: grpc.aio.AioRpcError) -> bool:
    """Whether there was no connection to send it on: nothing was done."""
    return exc.code() is StatusCode.UNAVAILABLE and (exc.details() or "").startswith(_NEVER_SENT)


def token_expired(exc: grpc.aio.AioRpcError) -> bool:
    """Whether the same request may succeed with a new token."""
    info = error_info(exc)
    return info is not None and info.reason == "TOKEN_EXPIRED"


def _detail(exc: grpc.aio.AioRpcError, kind: Callable[[], Detail]) -> Detail | None:
    """That detail of the error, if it has one."""
    trailers = exc.trailing_metadata()
    packed = trailers.get(_DETAILS) if trailers is not None else None
    if not isinstance(packed, bytes):
        return None
    found = kind()
    details = status_pb2.Status.FromString(packed).details
    return found if any(detail.Unpack(found) for detail in details) else None
