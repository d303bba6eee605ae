"""One RPC of a stub, called as before, that says who calls, and lives through restarts."""

import asyncio
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import uuid4

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from grpc.aio import Metadata

from vwed.client.backoff import Backoff
from vwed.client.errors import (
    CallError,
    call_error,
    is_transient,
    token_expired,
    was_never_sent,
    was_refused,
)
from vwed.client.identity import Identity, Pairs
from vwed.client.repeats import RULES, never

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response")

LONGEST_WAIT = 60.0
"""Seconds that a request may ask the service to wait for."""


@dataclass(frozen=True)
class Terms:
    """How the calls of a client are made."""

    identity: Identity
    deadline: float
    """Seconds for one try."""
    patience: float
    """Seconds of trying again, from the first failure on."""


class BareMethod:
    """With the client's metadata before the caller's own, and nothing else."""

    def __init__(self, method: Any, identity: Identity) -> None:
        self._method = method
        self._identity = identity

    def __call__(self, *args: Any, metadata: Pairs | None = None, **kwargs: Any) -> Any:
        sent = self._identity.metadata()
        return self._method(*args, metadata=_with(metadata, sent), **kwargs)


class Method(Generic[Request, Response]):
    """A unary RPC with a deadline, a `request_id`, repeats and errors of its own.

    What it can know beforehand it is told once, so that a call costs hardly more than the stub's:
    no interceptor, which would be a task for each call.
    """

    def __init__(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
        rpc: MethodDescriptor,
        terms: Terms,
    ) -> None:
        self._method = method
        self._identity = terms.identity
        self._deadline = terms.deadline
        self._patience = terms.patience
        self._may_repeat = RULES.get(rpc.name, never)
        self._has_request_id = "request_id" in rpc.input_type.fields_by_name
        self._waits = "wait" in rpc.input_type.fields_by_name

    async def __call__(
        self,
        request: Request,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - as the stub has it; it goes on the wire
        metadata: Pairs | None = None,
        **options: Any,
    ) -> Response:
        """The answer.

        `timeout`: seconds for all of the call, repeats included. Without one, each try has the
        client's `deadline`, after the `wait` that the request itself asks for.
        Raises CallError.
        """
        if self._has_request_id and not request.request_id:  # type: ignore[attr-defined]  # it has
            request = _with_request_id(request)
        ends = None if timeout is None else asyncio.get_running_loop().time() + timeout
        each = self._seconds(request) if timeout is None else timeout
        backoff: Backoff | None = None
        while True:
            sent = self._identity.metadata()
            try:
                return await self._method(
                    request,
                    timeout=each,
                    metadata=_with(metadata, sent),
                    **options,
                )
            except grpc.aio.AioRpcError as exc:
                error = call_error(exc)
            if not self._again(request, sent, error):
                try:
                    raise error
                finally:
                    del error  # else its traceback has this frame, and this frame has it
            backoff = backoff or Backoff(self._patience)
            try:
                async with asyncio.timeout_at(ends):
                    await backoff.pause(error, at_least=error.retry_after or 0.0)
            except TimeoutError:
                raise error from None
            if ends is not None:
                each = ends - asyncio.get_running_loop().time()

    def _seconds(self, request: Request) -> float:
        """How long one try may take."""
        if not self._waits:
            return self._deadline
        wait: float = request.wait.ToNanoseconds() / 1e9  # type: ignore[attr-defined]  # it has one
        return self._deadline + min(max(wait, 0.0), LONGEST_WAIT)

    def _again(self, request: Request, sent: Metadata, error: CallError) -> bool:
        """Whether to make the call again."""
        if was_refused(error) or was_never_sent(error):
            return True
        if token_expired(error):
            return self._identity.metadata() != sent
        repeatable = is_transient(error) or error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        return repeatable and self._may_repeat(request)


def _with(own: Pairs | None, sent: Metadata) -> Metadata:
    return Metadata(*sent, *own) if own else sent


def _with_request_id(request: Request) -> Request:
    # On a copy: who makes two runs of one request wants two.
    copy = type(request)()
    copy.CopyFrom(request)
    copy.request_id = str(uuid4())  # type: ignore[attr-defined]  # it has one
    return copy
