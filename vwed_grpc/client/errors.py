"""What the errors of a call say."""

import grpc
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
    trailers = exc.trailing_metadata()
    packed = trailers.get(_DETAILS) if trailers is not None else None
    if not isinstance(packed, bytes):
        return None
    info = error_details_pb2.ErrorInfo()
    for detail in status_pb2.Status.FromString(packed).details:
        if detail.Unpack(info):
            return info
    return None


def is_transient(exc: grpc.aio.AioRpcError) -> bool:
    """Whether the same request may succeed later: the server is away, or the connection broke.

    What the service itself says with another code than UNAVAILABLE is its answer.
    """
    code = exc.code()
    return code is StatusCode.UNAVAILABLE or (code in _TRANSPORT and error_info(exc) is None)
