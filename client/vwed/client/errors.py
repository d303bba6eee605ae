"""What the errors of a call say."""

import grpc
from google.protobuf.message import Message
from google.rpc import (  # type: ignore[import-untyped]  # googleapis-common-protos has no types
    error_details_pb2,
    status_pb2,
)
from grpc import StatusCode

_DETAILS = "grpc-status-details-bin"
_TRANSPORT = {StatusCode.CANCELLED, StatusCode.INTERNAL, StatusCode.UNKNOWN}
"""How a reset stream, a proxy that gave up or a half-read answer may show."""


def error_info(exc: grpc.aio.AioRpcError) -> error_details_pb2.ErrorInfo | None:
    """The service's `reason`, `domain` and `metadata`; None if the error is not the service's own.

    Transport errors and what gRPC's core refuses carry none.
    """
    info = error_details_pb2.ErrorInfo()
    return info if _unpack(exc, info) else None


def is_transient(exc: grpc.aio.AioRpcError) -> bool:
    """Whether the same request may succeed later.

    The server is away, or the connection broke, or others have all that such a call may take, and
    RetryInfo says so. What the service itself says with another code is its answer.
    """
    code = exc.code()
    if code is StatusCode.RESOURCE_EXHAUSTED:
        return _unpack(exc, error_details_pb2.RetryInfo())
    return code is StatusCode.UNAVAILABLE or (code in _TRANSPORT and error_info(exc) is None)


def token_expired(exc: grpc.aio.AioRpcError) -> bool:
    """Whether the same request may succeed with a new token."""
    info = error_info(exc)
    return info is not None and info.reason == "TOKEN_EXPIRED"


def _unpack(exc: grpc.aio.AioRpcError, into: Message) -> bool:
    """Whether the error has such a detail, which is put into the message then."""
    trailers = exc.trailing_metadata()
    packed = trailers.get(_DETAILS) if trailers is not None else None
    if not isinstance(packed, bytes):
        return False
    return any(detail.Unpack(into) for detail in status_pb2.Status.FromString(packed).details)
