"""gRPC handlers made of service descriptors and plain servicers; no generated stub is involved."""

import inspect
from collections.abc import Iterable, Mapping

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from vwed_grpc.rpc.edge import Edge
from vwed_grpc.rpc.methods import Method

_HANDLERS = {
    False: grpc.stream_unary_rpc_method_handler,
    True: grpc.stream_stream_rpc_method_handler,
}
"""By whether answers come as a stream. To gRPC requests always do: a single one it would read, and
hold, before anybody asks whether there is a place for the call."""


def generic_handlers(
    services: Mapping[str, Iterable[object]], edge: Edge
) -> tuple[grpc.GenericRpcHandler, ...]:
    """Handlers for `server.add_generic_rpc_handlers`.

    RPCs that no servicer has answer UNIMPLEMENTED. Pre-registering the methods as well, as
    generated code does, would cost every call about 1 µs a method: the server waits for each anew.

    Args:
        services: By full service name (`vwed.v1.RecordService`) its servicers, one for each of its
            subjects, as `methods` describes them; the module that defines the service must have
            been imported.
        edge: What wraps every method.

    Raises:
        KeyError: No such service is known.
        TypeError: A servicer's method is no RPC of the service, or another servicer has it too, or
            it is not of its kind.
    """
    pool = descriptor_pool.Default()
    return tuple(
        _handler(pool.FindServiceByName(name), servicers, edge)
        for name, servicers in services.items()
    )


def _handler(
    service: ServiceDescriptor, servicers: Iterable[object], edge: Edge
) -> grpc.GenericRpcHandler:
    found = _implementations(service, servicers)
    return grpc.method_handlers_generic_handler(
        service.full_name,
        {
            method.name: _HANDLERS[method.server_streaming](
                edge.wrap(method, found.get(method.name))
            )
            for method in service.methods
        },
    )


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
