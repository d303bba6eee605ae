from typing import TypeVar

import grpc

from vwed.client.backoff import Backoff
from vwed.client.errors import is_transient

Request = TypeVar("Request")
Response = TypeVar("Response")


async def persist(
    method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
    request: Request,
    *,
    timeout: float = 10.0,  # noqa: ASYNC109 - each try has its own, a cancel scope spans them all
    patience: float = 120.0,
) -> Response:
    """Call until the server answers, through its restarts; for requests that may be repeated.

    Those are reads, reports (idempotent by content), transitions with the same content, and
    whatever has a `request_id`. `timeout`: seconds for one try; `patience`: seconds of trying
    before the last transport error is raised. What the service answers is raised at once.
    """
    backoff = Backoff(patience)
    while True:
        try:
            return await method(request, timeout=timeout)
        except grpc.aio.AioRpcError as exc:
            if not (is_transient(exc) or exc.code() is grpc.StatusCode.DEADLINE_EXCEEDED):
                raise
            await backoff.pause(exc)
