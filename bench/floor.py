"""The floor: constant answers through the server set-up of the service, with nothing behind it.

`/bench.Floor/SIZE` answers SIZE bytes, `/bench.FloorHeader/SIZE` too, after a header of its own as
the contract wants it; `/bench.FloorStream/SIZE` sends them until the caller leaves.
"""

import asyncio
import sys
from functools import cache
from typing import Any

import grpc
import uvloop

from vwed_grpc.rpc.options import MAX_MESSAGE_BYTES

Context = grpc.aio.ServicerContext[Any, Any]


class Floor(grpc.GenericRpcHandler):
    def service(self, handler_call_details: Any) -> Any:
        kind, _, size = handler_call_details.method.removeprefix("/bench.").partition("/")
        return _KINDS[kind](int(size))


@cache
def _answer(size: int) -> Any:
    constant = bytes(size)

    async def answer(_: bytes, __: Context) -> bytes:
        return constant

    return grpc.unary_unary_rpc_method_handler(answer)


@cache
def _stream(size: int) -> Any:
    constant = bytes(size)

    async def stream(_: bytes, context: Context) -> None:
        while True:
            await context.write(constant)

    return grpc.unary_stream_rpc_method_handler(stream)


@cache
def _answer_after_header(size: int) -> Any:
    constant = bytes(size)
    header = (("x-request-id", "01a209e2-9b34-75b9-b8d4-fdbb7d5983ae"),)

    async def answer(_: bytes, context: Context) -> bytes:
        await context.send_initial_metadata(header)
        return constant

    return grpc.unary_unary_rpc_method_handler(answer)


_KINDS = {"Floor": _answer, "FloorHeader": _answer_after_header, "FloorStream": _stream}


async def serve(listen: str) -> None:
    server = grpc.aio.server(
        options=[
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ]
    )
    server.add_generic_rpc_handlers((Floor(),))
    server.add_insecure_port(listen)
    await server.start()
    print("listening", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    run = asyncio.run if "asyncio" in sys.argv else uvloop.run
    run(serve(sys.argv[1]))
