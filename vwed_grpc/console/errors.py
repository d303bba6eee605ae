"""What went wrong, as an answer over HTTP."""

from grpc import StatusCode
from starlette.requests import Request
from starlette.responses import JSONResponse

from vwed.client import CallError, OutOfRange

_HTTP = {
    StatusCode.INVALID_ARGUMENT: 400,
    StatusCode.OUT_OF_RANGE: 400,
    StatusCode.UNAUTHENTICATED: 401,
    StatusCode.PERMISSION_DENIED: 403,
    StatusCode.NOT_FOUND: 404,
    StatusCode.ALREADY_EXISTS: 409,
    StatusCode.FAILED_PRECONDITION: 409,
    StatusCode.ABORTED: 409,
    StatusCode.RESOURCE_EXHAUSTED: 429,
    StatusCode.UNAVAILABLE: 503,
    StatusCode.DEADLINE_EXCEEDED: 504,
}
"""Of all others it is 502: the service behind answered what it should not."""


class BadRequest(Exception):
    """A request that is not passed on, and why."""


def told(exc: CallError) -> dict[str, str]:
    """What a page shows of it."""
    return {
        "code": exc.code().name,
        "reason": exc.reason,
        "message": exc.details() or "",
        "request_id": exc.request_id,
    }


def oldest_kept(exc: OutOfRange) -> int:
    """The seq of the first event that there still is of a run."""
    return int(exc.metadata.get("oldest_seq", 1))


async def call_failed(_request: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, CallError)  # noqa: S101 - so it is registered
    return JSONResponse(told(exc), status_code=_HTTP.get(exc.code(), 502))


async def bad_request(_request: Request, exc: Exception) -> JSONResponse:
    return JSONResponse({"code": "INVALID_ARGUMENT", "message": str(exc)}, status_code=400)
