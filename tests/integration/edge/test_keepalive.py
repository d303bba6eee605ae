"""Connections that are idle, and that are dead without saying so; every second is a twentieth.

gRPC ignores options that it does not know, so what is asked is what they do.
"""

import asyncio
import time
from collections.abc import AsyncIterator

import grpc
import pytest

from tests.support.half_sent import PING, PREFACE, SETTINGS, frame
from tests.support.waiting import PATIENCE, until_true
from vwed_grpc.limits import Limits
from vwed_grpc.rpc.options import server_options

SCALE = 20
PINGS = 6
"""The fourth that comes too early would be the last."""
GOAWAY = 7
ACK = 1


@pytest.fixture
async def port() -> AsyncIterator[int]:
    options = [
        (name, value // SCALE if name.endswith("_ms") else value)
        for name, value in server_options(Limits())
    ]
    server = grpc.aio.server(options=[*options, ("grpc.so_reuseport", 0)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield port
    await server.stop(None)


async def test_a_client_may_ping_every_10_s_without_a_call(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(PREFACE + frame(SETTINGS, 0, 0))
    answers = 0

    async def read() -> None:
        nonlocal answers
        while True:
            head = await reader.readexactly(9)
            payload = await reader.readexactly(int.from_bytes(head[:3]))
            assert head[3] != GOAWAY, payload
            if head[3] == PING and head[4] & ACK:
                answers += 1
            elif head[3] == PING:
                writer.write(frame(PING, ACK, 0, payload))

    reading = asyncio.create_task(read())
    for ping in range(PINGS):
        await asyncio.sleep(10 / SCALE)
        writer.write(frame(PING, 0, 0, ping.to_bytes(8)))
    await until_true(lambda: answers == PINGS or reading.done())
    assert not reading.done(), reading.exception()
    reading.cancel()
    writer.close()


async def test_a_peer_that_is_silent_is_dropped(port: int) -> None:
    """It took the connection up and has gone since: nobody answers the server's pings."""
    options = dict(server_options(Limits()))
    ping, patience = options["grpc.keepalive_time_ms"], options["grpc.http2.ping_timeout_ms"]
    assert ping + patience <= 90_000
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(PREFACE + frame(SETTINGS, 0, 0) + frame(SETTINGS, ACK, 0))
    began = time.monotonic()
    async with asyncio.timeout(PATIENCE):
        await reader.read(-1)  # until it is closed
    assert time.monotonic() - began >= 60 / SCALE
    writer.close()
