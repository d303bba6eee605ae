"""gRPC handlers made of service descriptors and plain servicers; no generated stub is involved."""

import inspect
from collections.abc import Iterable, Iterator, Mapping
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

    def __init__(self, services: Mapping[str, Iterable[object]], edge: Edge) -> None:
        """Wires the methods of servicers with the RPCs of services.

        RPCs that no servicer has answer UNIMPLEMENTED. Pre-registering the methods as well, as
        generated code does, would cost every call about 1 µs a method: the server waits for each
        anew.

        Args:
            services: By full service name (`vwed.v1.RecordService`) its servicers, one for each of
                its subjects, as `methods` describes them; the module that defines the service must
                have been imported.
            edge: What wraps every method.

        Raises:
            KeyError: No such service is known.
            TypeError: A servicer's method is no RPC of the service, or another servicer has it
                too, or it is not of its kind.
        """
        self._by_path = {
            path: handler
            for name, servicers in services.items()
            for path, handler in _handlers(name, servicers, edge)
        }

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[Any, Any] | None":
        """The handler of the RPC with that path; None: UNIMPLEMENTED."""
        return self._by_path.get(handler_call_details.method)


def _handlers(
    name: str, servicers: Iterable[object], edge: Edge
) -> "Iterator[tuple[str, grpc.RpcMethodHandler[Any, Any]]]":
    described = _DESCRIBED_AS.get(name, name)
    service: ServiceDescriptor = descriptor_pool.Default().FindServiceByName(described)
    found = _implementations(service, servicers)
    for method in service.methods:
        handle = edge.wrap(method, found.get(method.name))
        yield f"/{name}/{method.name}", _HANDLERS[method.server_streaming](handle)


def _implementations(service: ServiceDescriptor, servicers: Iterable[object]) -> dict[str, Method]:
    """By the name of the RPC."""
    found: dict[str, Method] = {}
    for servicer in servicers:
        for name in dir(servicer):
            if not name[0].isupper():
                continue
            if name not in service.methods_by_name:  # a misspelt one
                raise TypeError(f"{service.full_name} has no RPC {name}")
            if name in found:
                raise TypeError(f"two servicers of {service.full_name} have {name}")
            found[name] = getattr(servicer, name)
            _check_kind(service.methods_by_name[name], found[name])
    return found


def _check_kind(method: MethodDescriptor, implementation: Method) -> None:
    streams = method.server_streaming
    fits = inspect.isasyncgenfunction if streams else inspect.iscoroutinefunction
    if not fits(implementation):
        kind = "an async generator" if streams else "a coroutine function"
        raise TypeError(f"{method.full_name} must be {kind}")
