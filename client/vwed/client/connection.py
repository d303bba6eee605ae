from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
from vwed.v1 import cache_service_pb2_grpc, record_service_pb2_grpc, task_def_service_pb2_grpc

if TYPE_CHECKING:
    from vwed.v1.cache_service_pb2_grpc import CacheServiceAsyncStub
    from vwed.v1.record_service_pb2_grpc import RecordServiceAsyncStub
    from vwed.v1.task_def_service_pb2_grpc import TaskDefServiceAsyncStub

Stub = TypeVar("Stub")
Token = str | Callable[[], str] | None
_Metadata = list[tuple[str, str | bytes]]

_OPTIONS = (
    # Left alone, a channel waits up to two minutes before it tries a restarted server again.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # Of a target with several addresses all are used, and one that breaks is not waited for.
    ("grpc.service_config", '{"loadBalancingConfig": [{"round_robin": {}}]}'),
    # A replica that was restarted has another address; left alone, a name is asked for again after
    # half a minute at the earliest.
    ("grpc.dns_min_time_between_resolutions_ms", 1_000),
    # Channels to one target would else share a connection, and its fate.
    ("grpc.use_local_subchannel_pool", 1),
    # http_proxy is meant for the web; a fleet's server is on the fleet's own network.
    ("grpc.enable_http_proxy", 0),
)


@dataclass(frozen=True)
class Client:
    """The stubs of one connection; every call goes out with the client's tenant and actor."""

    definitions: "TaskDefServiceAsyncStub"
    records: "RecordServiceAsyncStub"
    cache: "CacheServiceAsyncStub"
    renews_token: bool = False
    """A call that its token's end ended may be made again."""


@asynccontextmanager
async def connect(
    target: str,
    *,
    tenant: str = "default",
    actor: str = "",
    token: Token = None,
    credentials: grpc.ChannelCredentials | None = None,
) -> AsyncIterator[Client]:
    """A client of the server at `target` (`host:port`, or any gRPC name).

    Calls go in turn to all addresses that the name has (`dns:///vwed.example:50051`, or
    `ipv4:10.0.0.1:50051,10.0.0.2:50051`).

    Connects at the first call; a server that is not there shows as UNAVAILABLE then. `actor`, in
    any script, is kept as who did what, "" leaves it out; a server that asks for tokens takes their
    subject, unless they have the scope `actor:set`. A `token` that is a function is called for each
    call, so what it answers may be renewed. `credentials`: of TLS (`grpc.ssl_channel_credentials`).

    Raises:
        ValueError: `tenant` cannot be one. gRPC's own error for it does not say what is wrong.
    """
    if not (tenant.isascii() and tenant.isprintable()):
        raise ValueError(f"no tenant has the id {tenant!r}: ids are ASCII letters, digits and ._:-")
    metadata: _Metadata = [("x-vwed-tenant", tenant)]
    if actor.isascii() and actor.isprintable():
        metadata += [("x-vwed-actor", actor)] if actor else []
    else:
        # Surrogates, which an argument's odd bytes become, are no text: the server refuses them.
        metadata.append(("x-vwed-actor-bin", actor.encode(errors="surrogatepass")))
    if isinstance(token, str):
        metadata.append(_bearer(token))

    def sent() -> _Metadata:
        return [*metadata, _bearer(token())] if callable(token) else metadata

    async with _channel(target, credentials) as channel:
        yield Client(
            _sending(sent, task_def_service_pb2_grpc.TaskDefServiceStub(channel)),
            _sending(sent, record_service_pb2_grpc.RecordServiceStub(channel)),
            _sending(sent, cache_service_pb2_grpc.CacheServiceStub(channel)),
            renews_token=callable(token),
        )


def _bearer(token: str) -> tuple[str, str]:
    return "authorization", f"Bearer {token}"


def _channel(target: str, credentials: grpc.ChannelCredentials | None) -> grpc.aio.Channel:
    if credentials is None:
        return grpc.aio.insecure_channel(target, options=_OPTIONS)
    return grpc.aio.secure_channel(target, credentials, options=_OPTIONS)


def _sending(metadata: Callable[[], _Metadata], stub: Stub) -> Stub:
    # Interceptors would do the same at the price of a task for each call, a queue for each stream.
    for name, method in vars(stub).items():
        setattr(stub, name, _Method(method, metadata))
    return stub


class _Method:
    """One RPC of a stub: called as before, with the client's metadata before the caller's own."""

    def __init__(self, method: Any, metadata: Callable[[], _Metadata]) -> None:
        self._method = method
        self._metadata = metadata

    def __call__(self, *args: Any, metadata: Any = (), **kwargs: Any) -> Any:
        return self._method(*args, metadata=(*self._metadata(), *(metadata or ())), **kwargs)
