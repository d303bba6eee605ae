"""gRPC handlers made of service descriptors and plain servicers; no generated stub is involved."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from vwed_grpc.rpc.edge import Edge
from vwed_grpc.rpc.methods import Method
from vwed_grpc.rpc.reflection import V1, V1ALPHA

_HANDLERS = {
    False: grpc.stream_unary_rpc_method_handler,
    True: grpc.stream_stream_rpc_method_handler,
}
"""By whether answers come as a stream. To gRPC requests always do: a single one it would read, and
hold, before anybody asks whether there is a place for the call."""
_DESCRIBED_AS = {V1: V1ALPHA}
"""Services whose messages are those of another, under other names."""


class Handlers(grpc.GenericRpcHandler):
    """All methods of a server, in one table."""

    def __init__(self, services: Mapping[str, object], edge: Edge) -> None:
        """Wires the methods of servicers with the RPCs of services.

        RPCs that a servicer lacks answer UNIMPLEMENTED. Pre-registering the methods as well, as
        generated code does, would cost every call about 1 µs a method: the server waits for each
        anew.

        Args:
            services: Servicers by full service name (`vwed.v1.RecordService`), as `methods`
                describes them; the module that defines the service must have been imported.
            edge: What wraps every method.

        Raises:
            KeyError: No such service is known.
            TypeError: A servicer's method is no RPC of the service, or is not of its kind.
        """
        self._by_path = {
            path: handler
            for name, servicer in services.items()
            for path, handler in _handlers(name, servicer, edge)
        }

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[Any, Any] | None":
        """The handler of the RPC with that path; None: UNIMPLEMENTED."""
        return self._by_path.get(handler_call_details.method)


def _handlers(
    name: str, servicer: object, edge: Edge
) -> "Iterator[tuple[str, grpc.RpcMethodHandler[Any, Any]]]":
    described = _DESCRIBED_AS.get(name, name)
    service: ServiceDescriptor = descriptor_pool.Default().FindServiceByName(described)
    for attribute in dir(servicer):
        if attribute[0].isupper() and attribute not in service.methods_by_name:  # a misspelt one
            raise TypeError(f"{name} has no RPC {attribute}")
    for method in service.methods:
        handle = edge.wrap(method, _implementation(method, servicer))
        yield f"/{name}/{method.name}", _HANDLERS[method.server_streaming](handle)


def _implementation(method: MethodDescriptor, servicer: object) -> Method | None:
    implementation: Method | None = getattr(servicer, method.name, None)
    if implementation is not None:
        streams = method.server_streaming
        fits = inspect.isasyncgenfunction if streams else inspect.iscoroutinefunction
        if not fits(implementation):
            kind = "an async generator" if streams else "a coroutine function"
            raise TypeError(f"{method.full_name} must be {kind}")
    return implementation
