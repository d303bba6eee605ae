"""What operators and tools ask of any gRPC server: health, reflection, channelz."""

from collections.abc import Iterable

import grpc
from grpc_channelz.v1 import channelz, channelz_pb2_grpc
from grpc_health.v1 import health, health_pb2_grpc  # type: ignore[import-untyped]  # has no types

from vwed_grpc.rpc.health import Health
from vwed_grpc.rpc.reflection import reflection_handlers


def add_introspection(server: grpc.aio.Server, services: Iterable[str], store: Health) -> None:
    """Adds the three standard services; reflection lists them beside `services` (full names)."""
    names = (*services, health.SERVICE_NAME, _CHANNELZ)
    generic = _GenericOnly(server)
    health_pb2_grpc.add_HealthServicer_to_server(store.servicer, generic)
    channelz_pb2_grpc.add_ChannelzServicer_to_server(channelz.aio.ChannelzServicer(), generic)
    server.add_generic_rpc_handlers(reflection_handlers(names))


_CHANNELZ = "grpc.channelz.v1.Channelz"


class _GenericOnly:
    """A server as generated code sees it, without the pre-registration of methods.

    The ten of these services would cost every call of the server about 13 µs: grpc.aio waits
    anew for each pre-registered method whenever a call arrives.
    """

    def __init__(self, server: grpc.aio.Server) -> None:
        self.add_generic_rpc_handlers = server.add_generic_rpc_handlers

    def add_registered_method_handlers(self, service: str, handlers: object) -> None:
        """They are among the generic handlers already."""
