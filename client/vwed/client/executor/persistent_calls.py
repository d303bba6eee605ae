"""Calls that are made until the service has answered them, however long it is away."""

import logging
from collections.abc import Awaitable
from dataclasses import dataclass
from math import inf
from typing import Any, Generic, Protocol, TypeVar

import grpc

from vwed.client.backoff import Backoff
from vwed.client.errors import (
    Aborted,
    AlreadyExists,
    CallError,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    OutOfRange,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
)
from vwed.client.executor.clock import now

log = logging.getLogger("vwed.executor")

Request = TypeVar("Request")
Response = TypeVar("Response")
Request_contra = TypeVar("Request_contra", contravariant=True)
Response_co = TypeVar("Response_co", covariant=True)

TRY_SECONDS = 10.0
"""For one try, unless it is to be shorter than a lease."""
_LOG_SECONDS = 60.0
"""How often a service that fails is said to."""
_LONGEST_PAUSE = 2.0

_ANSWERS = (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    OutOfRange,
)
_UNKNOWN_CALLER = (PermissionDenied, Unauthenticated)


class Method(Protocol[Request_contra, Response_co]):
    """A unary RPC of a client."""

    def __call__(
        self,
        request: Request_contra,
        *,
        timeout: float,
        metadata: Any = ...,
    ) -> Awaitable[Response_co]: ...


@dataclass(frozen=True, slots=True)
class Answer(Generic[Response]):
    response: Response
    sent: float
    """When the call was first made in the try that was answered, by `clock.now`."""
    received: float


class PersistentCalls:
    """Makes the calls of one process, and says once a minute that the service fails it."""

    def __init__(self, *, longest_pause: float = _LONGEST_PAUSE) -> None:
        self._longest_pause = min(longest_pause, _LONGEST_PAUSE)
        self._failing_since: float | None = None
        self._ever_answered = False
        self._said_at = -inf
        self._said = False

    async def ask(
        self,
        method: Method[Request, Response],
        request: Request,
        *,
        seconds: float = TRY_SECONDS,
        metadata: Any = (),
    ) -> Answer[Response]:
        """The answer; the request must be one that may be repeated.

        `seconds`: for one try. Raises CallError with what the service says for good. That a token
        is refused is not for good, for it may be renewed, unless none was ever taken.
        """
        backoff = Backoff(inf, longest=self._longest_pause)
        while True:
            sent = now()
            try:
                response = await method(request, timeout=seconds, metadata=metadata)
            except CallError as exc:
                if is_final(exc) or (isinstance(exc, _UNKNOWN_CALLER) and not self._ever_answered):
                    raise
                self.failed(exc, since=sent)
                await backoff.pause(exc, at_least=exc.retry_after or 0.0)
            else:
                self._answered()
                return Answer(response, sent, now())

    def failed(self, exc: Exception, *, since: float) -> None:
        at = now()
        self._failing_since = self._failing_since or since
        if at - self._said_at >= _LOG_SECONDS:
            self._said_at, self._said = at, True
            log.warning("the service has failed for %.0f s: %s", at - self._failing_since, exc)

    def lost(self, exc: CallError | TimeoutError | None) -> None:
        """A stream broke. If there was no service yet, it is said at once: the address is wrong."""
        if exc is not None and not self._ever_answered:
            self.failed(exc, since=now())

    def _answered(self) -> None:
        self._ever_answered = True
        if self._said:
            self._said = False
            log.warning("the service answers again")
        self._failing_since = None


def is_final(exc: CallError) -> bool:
    """Whether the same request would meet the same answer."""
    if isinstance(exc, Aborted):
        return exc.reason != "CONFLICT"  # a lost race; what else is aborted has an old etag
    if isinstance(exc, ResourceExhausted):
        return exc.retry_after is None
    return isinstance(exc, _ANSWERS) or exc.code() is grpc.StatusCode.UNIMPLEMENTED
