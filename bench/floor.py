"""The floor: constant answers through the server set-up of the service, with nothing behind it.

`/bench.Floor/SIZE` answers SIZE bytes; `/bench.FloorStream/SIZE` sends them until the caller leaves.
"""

import asyncio
import sys
from functools import cache
from typing import Any

import grpc
import uvloop

from vwed_grpc.server import MAX_MESSAGE_BYTES

Context = grpc.aio.ServicerContext[Any, Any]


class Floor(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpcio's own class has no type
    def service(self, handler_call_details: Any) -> Any:
        kind, _, size = handler_call_details.method.removeprefix("/bench.").partition("/")
        return _answer(int(size)) if kind == "Floor" else _stream(int(size))


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
