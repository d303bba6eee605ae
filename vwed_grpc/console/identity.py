"""Who asks: what of a browser's request goes on to the service."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from starlette.requests import Request

from vwed.client import Client
from vwed_grpc.console.errors import BadRequest
from vwed_grpc.domain.ids import ID, ID_DEMAND


@dataclass(frozen=True)
class Caller:
    """Empty where the request does not say it."""

    tenant: str
    token: str = field(repr=False)
    actor: str


Connect = Callable[[Caller], AbstractAsyncContextManager[Client]]
"""A client that calls as somebody; one for each request, for it bears the token of whoever asks."""


def caller_of(request: Request) -> Caller:
    """By the headers that browsers send, and those that proxies add once a user has logged in.

    Raises BadRequest.
    """
    tenant = request.query_params.get("tenant", "")
    if tenant and not ID.fullmatch(tenant):
        raise BadRequest(f"tenant: {ID_DEMAND}")
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        token = request.headers.get("x-forwarded-access-token", "")
    actor = request.headers.get("x-forwarded-user", "")
    return Caller(tenant, token.strip(), actor)
