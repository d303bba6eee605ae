"""The four kinds of call, as two halves: what a servicer's method takes, and what it gives.

A servicer is a plain object whose methods bear the names of its RPCs:

    unary in, unary out    async def GetX(self, request, call) -> Message | bytes
    unary in, stream out   async def WatchX(self, request, call) -> AsyncIterator[Message | bytes]
    stream in, unary out   async def ImportX(self, requests, call) -> Message | bytes
    stream in, stream out  async def StreamX(self, requests, call) -> AsyncIterator[Message | bytes]

Streams out are async generators, closed when the caller leaves. Bytes go out as they are.
`requests` is an async iterator of `Checked`: a request, and why it is refused if it is, because in
a stream one bad message is an answer of its own, not the end.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import aclosing
from typing import Any, Generic, Never

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from vwed_grpc.domain.errors import ResourceExhausted, Unimplemented
from vwed_grpc.loop.offload import LARGE, offload
from vwed_grpc.rpc.call import Call
from vwed_grpc.rpc.options import MAX_MESSAGE_BYTES
from vwed_grpc.rpc.validation import Checked, M, MalformedMessage, checker

Context = grpc.aio.ServicerContext[Any, Any]
Method = Callable[..., Any]
"""A servicer's method, bound."""
Serve = Callable[[Any, Context, Call], Coroutine[Any, Any, bytes | None]]
"""From a request's bytes (a stream in: anything) to an answer's (a stream out: None, when sent)."""


class Requests(AsyncIterator[Checked[M]], Generic[M]):
    """The requests of a stream, read as they are asked for."""

    def __init__(self, context: Context, check: Callable[[bytes], Checked[M]]) -> None:
        self._context = context
        self._check = check

    async def __anext__(self) -> Checked[M]:
        try:
            raw = await self._context.read()
        except grpc.aio.BaseError as error:
            await _caller_left(error)
        if raw is grpc.aio.EOF:
            raise StopAsyncIteration
        return await offload(len(raw), self._check, raw)


async def ended_by_caller() -> None:
    """After the last request: returns if the caller meant it, is cancelled if the connection broke.

    gRPC tells a broken connection as the end of the stream at first, and cancels the call when it
    hears of the rest, up to 10 ms later.
    """
    await asyncio.sleep(0.1)


def serve(method: MethodDescriptor, implementation: Method | None) -> Serve:
    """Runs `implementation` between bytes in and bytes out; without one, all is Unimplemented.

    Raises what it raises, InvalidArgument for a bad request, ResourceExhausted for an answer that
    is too large, and CancelledError if the caller left while it was sent to.
    """
    if implementation is None:
        return _unimplemented(method)
    check = checker(GetMessageClass(method.input_type))
    streams_in: bool = method.client_streaming

    async def take(raw: Any, context: Context) -> Any:
        if streams_in:
            return Requests(context, check)
        if raw is grpc.aio.EOF:
            raise MalformedMessage(method.input_type.full_name)
        request, problem = check(raw) if len(raw) <= LARGE else await offload(len(raw), check, raw)
        if problem is not None:
            raise problem
        return request

    async def give_one(raw: Any, context: Context, call: Call) -> bytes:
        return _encoded(await implementation(await take(raw, context), call))

    async def give_many(raw: Any, context: Context, call: Call) -> None:
        async with aclosing(implementation(await take(raw, context), call)) as answers:
            async for answer in answers:
                await _send(_encoded(answer), context)

    return give_many if method.server_streaming else give_one


def _unimplemented(method: MethodDescriptor) -> Serve:
    async def refuse(*_: object) -> None:
        raise Unimplemented("UNIMPLEMENTED", f"{method.full_name} is not implemented yet")

    return refuse


async def _send(raw: bytes, context: Context) -> None:
    try:
        await context.write(raw)
    except grpc.aio.BaseError as error:  # how a write ends that waited for the caller
        await _caller_left(error)


async def _caller_left(error: grpc.aio.BaseError) -> Never:
    """Raises CancelledError, as soon as gRPC gets to cancel the call.

    It does so a moment after the failure, and would hit the generator while it closes.
    """
    await asyncio.sleep(1.0)
    raise asyncio.CancelledError from error


def _encoded(answer: Message | bytes) -> bytes:
    raw = answer if isinstance(answer, bytes) else answer.SerializeToString()
    if len(raw) > MAX_MESSAGE_BYTES:
        raise ResourceExhausted(
            "RESPONSE_TOO_LARGE",
            f"the answer has {len(raw):,} bytes, clients take {MAX_MESSAGE_BYTES:,}; ask for less",
        )
    return raw
