from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from vwed.v1 import cache_service_pb2, record_service_pb2, task_def_service_pb2
from vwed.v1.cache_service_pb2_grpc import CacheServiceStub
from vwed.v1.record_service_pb2_grpc import RecordServiceStub
from vwed.v1.task_def_service_pb2_grpc import TaskDefServiceStub

from vwed.client.channel import open_channel
from vwed.client.identity import Identity, Token
from vwed.client.methods import BareMethod, Method, Terms

if TYPE_CHECKING:
    from vwed.v1.cache_service_pb2_grpc import CacheServiceAsyncStub
    from vwed.v1.record_service_pb2_grpc import RecordServiceAsyncStub
    from vwed.v1.task_def_service_pb2_grpc import TaskDefServiceAsyncStub

Stub = TypeVar("Stub")


@dataclass(frozen=True)
class Client:
    """The three services of one connection; calls go out with the client's tenant and actor.

    Unary methods are awaited: `await client.records.GetTaskRecord(request)`. Streams are the stubs'
    own; `watch_run`, `watch_messages` and `watch_runs` take them up again where they break.
    """

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
    deadline: float = 10.0,
    patience: float = 120.0,
    bare: bool = False,
) -> AsyncIterator[Client]:
    """A client of the server at `target` (`host:port`, or any gRPC name).

    Calls go in turn to all addresses that the name has (`dns:///vwed.example:50051`, or
    `ipv4:10.0.0.1:50051,10.0.0.2:50051`). It connects at the first call.

    `actor`, in any script, is kept as who did what, "" leaves it out; a server that asks for tokens
    takes their subject, unless they have the scope `actor:set`. A `token` that is a function is
    called for each call, so what it answers may be renewed. `credentials`: of TLS
    (`grpc.ssl_channel_credentials`).

    A unary call is given `deadline` seconds for a try (a claim: after its `wait`). While the server
    is away, or has no room for it, it is made again, for `patience` seconds, if the first try
    cannot have been carried out, or a second one changes nothing: reads, reports, transitions,
    whatever has a `request_id`, which is filled in on a copy of the request. Not so deletions, and
    what demands an etag or a version. A call's own `timeout` is for all its tries together. Errors
    are CallErrors.

    `bare`: no deadlines, repeats, request ids and errors of the client's own; for who wants to see
    each answer.

    Raises:
        ValueError: `tenant` or `token` cannot be one; of a token that is a function's answer, for
            each call. gRPC's own error for it does not say what is wrong.
    """
    identity = Identity(tenant, actor, token)
    terms = None if bare else Terms(identity, deadline, patience)

    def ours(stub: Stub, service: ServiceDescriptor) -> Stub:
        for rpc in service.methods:
            method = getattr(stub, rpc.name)
            streams = rpc.client_streaming or rpc.server_streaming
            wrapped = (
                BareMethod(method, identity)
                if terms is None or streams
                else Method(method, rpc, terms)
            )
            setattr(stub, rpc.name, wrapped)
        return stub

    async with open_channel(target, credentials) as channel:
        yield Client(
            ours(
                TaskDefServiceStub(channel),
                task_def_service_pb2.DESCRIPTOR.services_by_name["TaskDefService"],
            ),
            ours(
                RecordServiceStub(channel),
                record_service_pb2.DESCRIPTOR.services_by_name["RecordService"],
            ),
            ours(
                CacheServiceStub(channel),
                cache_service_pb2.DESCRIPTOR.services_by_name["CacheService"],
            ),
            renews_token=identity.renews_token,
        )
