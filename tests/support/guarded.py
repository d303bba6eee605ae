"""A server that asks for tokens, what there is in it, and how its every RPC is called."""

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

import grpc
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.message import Message
from grpc import StatusCode
from grpc_reflection.v1alpha import (  # type: ignore[import-untyped]  # has no types
    reflection_pb2,
)

from tests.support.refusals import Refusal, read_refusal
from tests.support.tokens import bearer, token
from tests.support.valid_requests import VALID

_LOST = "Internal error from Core"
_DEADLINE = "Deadline Exceeded"
"""gRPC's client, when the time that it gave a call is over."""
REFLECTION = "grpc.reflection.v1.ServerReflection"


class Rpc(NamedTuple):
    """An RPC as reflection tells it."""

    service: str
    name: str
    streams_in: bool
    streams_out: bool

    @property
    def ours(self) -> bool:
        return self.service.startswith("vwed.")

    @property
    def path(self) -> str:
        return f"/{self.service}/{self.name}"

    def open(
        self,
        channel: grpc.aio.Channel,
        raw: bytes | None,
        metadata: Sequence[tuple[str, str]],
        timeout: float = 30,
    ) -> Any:
        """A call with one message; of a stream, it may be None: nothing is sent, nor is its end."""
        kind = "stream" if self.streams_in else "unary"
        kind += "_stream" if self.streams_out else "_unary"
        method = getattr(channel, kind)(self.path)
        sent = [raw] if self.streams_in and raw is not None else raw
        return method(sent, metadata=metadata, timeout=timeout)


async def rpcs(channel: grpc.aio.Channel) -> list[Rpc]:
    """All that the server has."""
    ask = channel.stream_stream(
        f"/{REFLECTION}/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )

    async def answer(**question: str) -> Any:
        asked = [reflection_pb2.ServerReflectionRequest(**question)]
        (found,) = [each async for each in ask(iter(asked), metadata=[bearer(token())])]
        return found

    found = list[Rpc]()
    for service in (await answer(list_services="")).list_services_response.service:
        files = (await answer(file_containing_symbol=service.name)).file_descriptor_response
        for raw in files.file_descriptor_proto:
            file = FileDescriptorProto.FromString(raw)
            for described in file.service:
                if f"{file.package}.{described.name}" == service.name:
                    found += [
                        Rpc(service.name, m.name, m.client_streaming, m.server_streaming)
                        for m in described.method
                    ]
    return found


async def send(
    channel: grpc.aio.Channel,
    rpc: Rpc,
    raw: bytes | None,
    metadata: Sequence[tuple[str, str]],
    *,
    timeout: float = 30,  # noqa: ASYNC109 - gRPC's own, on the wire
) -> Refusal | None:
    """How the call is refused; None if it is not. A stream is left after its first answer.

    Raises TimeoutError if the client has left before.
    """
    try:
        await _first_answer(rpc.open(channel, raw, metadata, timeout), rpc)
    except grpc.aio.AioRpcError as error:
        if error.code() is StatusCode.DEADLINE_EXCEEDED and _DEADLINE in str(error.details()):
            raise TimeoutError(rpc.path) from None
        if rpc.streams_in and raw is not None and _is_lost(error):
            # It was refused before it was read, so it is refused as well if nothing is sent.
            return await send(channel, rpc, None, metadata, timeout=timeout)
        return read_refusal(error)
    except asyncio.CancelledError:
        if (task := asyncio.current_task()) is not None and task.cancelling():
            raise
        raise TimeoutError(rpc.path) from None  # gRPC's client, in the middle of sending
    return None


async def _first_answer(call: Any, rpc: Rpc) -> None:
    try:
        if rpc.streams_out:
            async for _ in call:
                break
        else:
            await call
    finally:
        call.cancel()


def _is_lost(error: grpc.aio.AioRpcError) -> bool:
    """Whether gRPC's client has lost the server's answer to a stream, and made one up.

    It does so if the server refuses a stream while the client sends its first message. What a
    server says comes with trailing metadata.
    """
    made_up = (error.code(), error.details()) == (StatusCode.INTERNAL, _LOST)
    return made_up and not error.trailing_metadata()


def request(rpc: Rpc, *, there: bool = True) -> bytes:
    """A good one; it names what there is, or things that there are not."""
    if not rpc.ours:
        return b""
    message = type(VALID[rpc.name])()
    message.CopyFrom(VALID[rpc.name])
    if not there:
        _rename(message)
    return message.SerializeToString()


def _rename(message: Message) -> None:
    for field, value in message.ListFields():
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            if not field.is_repeated:
                _rename(value)
        elif field.name == "ids":
            value[:] = ["missing"]
        elif field.name in {"id", "task_record_id", "task_def_id"}:
            setattr(message, field.name, "missing")
