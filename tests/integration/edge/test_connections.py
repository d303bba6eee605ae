"""Connections at their limits, and those whose other end is gone; each second is a twentieth."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import grpc
import pytest
from vwed.v1 import record_service_pb2 as pb
from vwed.v1 import record_service_pb2_grpc

from tests.support.busy_world import as_tenant, serving_world
from tests.support.half_sent import PREFACE, SETTINGS, frame
from tests.support.proxy import Proxy
from tests.support.waiting import PATIENCE, until_true
from vwed_grpc.limits import Limits
from vwed_grpc.rpc.options import server_options

if TYPE_CHECKING:
    from vwed.v1.record_service_pb2_grpc import RecordServiceAsyncStub

SCALE = 20
SOON = {name: value // SCALE for name, value in server_options(Limits()) if name.endswith("_ms")}
HEARTBEAT = pb.HeartbeatTaskRecordRequest(id="r")
WATCH = pb.WatchTaskRecordRequest(task_record_id="r")
ACK = 1


@asynccontextmanager
async def connected(target: str, **options: int) -> AsyncIterator["RecordServiceAsyncStub"]:
    """A connection of its own, which is made anew at once when it fails."""
    given = {
        "use_local_subchannel_pool": 1,
        "initial_reconnect_backoff_ms": 100,
        "max_reconnect_backoff_ms": 200,
    } | options
    named = [(f"grpc.{name}", value) for name, value in given.items()]
    async with grpc.aio.insecure_channel(target, options=named) as channel:
        yield record_service_pb2_grpc.RecordServiceStub(channel)


async def test_a_connection_too_many_is_closed_and_the_others_go_on() -> None:
    async with (
        serving_world(Limits(connections=1)) as world,
        AsyncExitStack() as stack,
        connected(world.target) as late,
    ):
        first = await stack.enter_async_context(connected(world.target))
        await first.HeartbeatTaskRecord(HEARTBEAT)
        for _ in range(3):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await late.HeartbeatTaskRecord(HEARTBEAT, timeout=PATIENCE)
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
            await first.HeartbeatTaskRecord(HEARTBEAT)
        await stack.aclose()
        await late.HeartbeatTaskRecord(HEARTBEAT, wait_for_ready=True, timeout=PATIENCE)


async def test_peers_that_connect_and_say_nothing_give_their_places_back() -> None:
    handshake = "grpc.server_handshake_timeout_ms"
    soon = {handshake: SOON[handshake]}
    async with (
        serving_world(Limits(connections=2), soon) as world,
        connected(world.target) as client,
    ):
        host, _, port = world.target.rpartition(":")
        silent = [await asyncio.open_connection(host, int(port)) for _ in range(2)]
        await client.HeartbeatTaskRecord(HEARTBEAT, wait_for_ready=True, timeout=PATIENCE)
        for reader, writer in silent:
            async with asyncio.timeout(PATIENCE):
                await reader.read(-1)  # until it is closed
            writer.close()


async def test_a_call_beyond_the_streams_of_a_connection_waits_for_one_of_them() -> None:
    async with (
        serving_world(Limits(streams_of_connection=2)) as world,
        connected(world.target) as full,
        connected(world.target) as other,
    ):
        await full.HeartbeatTaskRecord(HEARTBEAT)  # so the client knows the limit
        watches = [full.WatchTaskRecord(WATCH, metadata=as_tenant("slow")) for _ in range(2)]
        for watch in watches:
            await anext(aiter(watch))
        waiting = asyncio.ensure_future(full.HeartbeatTaskRecord(HEARTBEAT, timeout=PATIENCE))
        for _ in range(5):
            await other.HeartbeatTaskRecord(HEARTBEAT)
        assert not waiting.done()
        watches[0].cancel()
        await waiting
        watches[1].cancel()


async def test_a_client_behind_a_proxy_that_swallows_all_is_let_go() -> None:
    """Its stream, and what it holds, ends with the connection: 80 s after its last word."""
    async with serving_world(options=SOON) as world:
        host, _, port = world.target.rpartition(":")
        async with Proxy(host, int(port)) as proxy, connected(f"127.0.0.1:{proxy.port}") as client:
            watch = client.WatchTaskRecord(WATCH, metadata=as_tenant("slow"))
            await anext(aiter(watch))
            await until_true(lambda: world.edge.open_calls()["waits"] == 1)
            proxy.freeze()
            began = asyncio.get_running_loop().time()
            await until_true(lambda: world.edge.open_calls()["waits"] == 0)
            assert asyncio.get_running_loop().time() - began >= 60 / SCALE / 2
            watch.cancel()


async def test_a_stream_may_be_silent_for_as_long_as_it_likes() -> None:
    """A connection without a call is closed in the meantime."""
    async with (
        serving_world(options={"grpc.max_connection_idle_ms": 100}) as world,
        connected(world.target) as client,
    ):
        watch = client.WatchTaskRecord(WATCH, metadata=as_tenant("slow"))
        await anext(aiter(watch))
        host, _, port = world.target.rpartition(":")
        for _ in range(3):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(PREFACE + frame(SETTINGS, 0, 0) + frame(SETTINGS, ACK, 0))
            async with asyncio.timeout(PATIENCE):
                await reader.read(-1)  # until it is closed
            writer.close()
            assert not watch.done()
        world.servicer.released.set()
        assert [message async for message in watch] == []
        assert await watch.code() is grpc.StatusCode.OK


async def test_a_client_may_ping_every_10_s_amid_a_call() -> None:
    """gRPC's own client: one that pinged too often would lose its connection, and its call."""
    pings = {"keepalive_time_ms": 10_000 // SCALE, "http2.max_pings_without_data": 0}
    async with serving_world(options=SOON) as world, connected(world.target, **pings) as client:
        watch = client.WatchTaskRecord(WATCH, metadata=as_tenant("slow"))
        await anext(aiter(watch))
        await asyncio.sleep(6 * 10 / SCALE)
        assert not watch.done()
        watch.cancel()
