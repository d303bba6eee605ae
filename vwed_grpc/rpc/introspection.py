"""What operators and tools ask of any gRPC server: health, reflection, channelz.

They come through the edge like all other calls, so no number of them is a hole in its limits.
"""

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import grpc
from google.protobuf.message import Message
from grpc_channelz.v1 import channelz, channelz_pb2
from grpc_health.v1 import health  # type: ignore[import-untyped]  # has no types

from vwed_grpc.domain.errors import NotFound
from vwed_grpc.rpc.call import Call
from vwed_grpc.rpc.errors import InternalError
from vwed_grpc.rpc.health import Health
from vwed_grpc.rpc.methods import Method
from vwed_grpc.rpc.reflection import V1, V1ALPHA, Reflection

_CHANNELZ = channelz_pb2.DESCRIPTOR.services_by_name["Channelz"]


def introspection(
    services: Iterable[str], store: Health, *, closed: bool = False
) -> dict[str, list[object]]:
    """The servicers of the standard services; reflection lists them beside `services`.

    `closed` leaves health alone.
    """
    if closed:
        return {health.SERVICE_NAME: [store]}
    names = (*services, health.SERVICE_NAME, _CHANNELZ.full_name, V1ALPHA, V1)
    reflection = Reflection(names)
    return {
        health.SERVICE_NAME: [store],
        _CHANNELZ.full_name: [
            SimpleNamespace(**{method.name: _channelz(method.name) for method in _CHANNELZ.methods})
        ],
        V1ALPHA: [reflection],
        V1: [reflection],
    }


def _channelz(name: str) -> Method:
    ask = getattr(channelz.ChannelzServicer, name)

    async def answer(request: Message, call: Call) -> Any:  # noqa: ARG001 - as every method
        outcome = _Outcome()
        found = ask(request, outcome)
        if outcome.code is grpc.StatusCode.NOT_FOUND:
            raise NotFound("CHANNELZ_ENTITY_NOT_FOUND", "there is nothing with this id")
        if outcome.code is not None:
            raise InternalError
        return found

    return answer


class _Outcome:
    """What the library's servicer says to a context."""

    code: grpc.StatusCode | None = None

    def set_code(self, code: grpc.StatusCode) -> None:
        self.code = code

    def set_details(self, details: str) -> None:
        """Its text is of the core's insides."""
