"""Health, reflection and channelz under the limits: bounded as all calls are, and never starved."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]  # no types
from grpc_reflection.v1alpha import reflection_pb2  # type: ignore[import-untyped]  # the same

from tests.support.busy_world import LIMITS, PLACES, RECORDS, World, as_tenant, serving_world
from tests.support.half_sent import half_sending
from tests.support.refusals import read_refusal, refusal
from tests.support.waiting import until_true

HEALTH = "grpc.health.v1.Health"
FEW = LIMITS.model_copy(
    update={
        "waits_of_connection": 2,
        "incoming_streams": 4,
        "incoming_streams_of_connection": 2,
        "upload_seconds": 0.5,
    }
)


@asynccontextmanager
async def another(world: World) -> AsyncIterator[grpc.aio.Channel]:
    """A connection of its own."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(world.target, options=options) as channel:
        yield channel


async def check(channel: grpc.aio.Channel, **given: Any) -> None:
    answer = await health_pb2_grpc.HealthStub(channel).Check(
        health_pb2.HealthCheckRequest(), timeout=20, **given
    )
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def open_stream(channel: grpc.aio.Channel, kind: str, *, silent: bool = False) -> Any:
    """A call that lasts; it has one message to read, unless it is silent.

    One that is to be refused is: if the refusal is there before the question is written, Python's
    client may tell of that instead (INTERNAL, "Internal error from Core").
    """
    if kind == "watch":
        return health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
    ask = channel.stream_stream(
        f"/{kind}/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )

    async def questions() -> AsyncIterator[Any]:
        if not silent:
            yield reflection_pb2.ServerReflectionRequest(list_services="")
        await asyncio.Event().wait()

    return ask(questions())


STREAMS = {
    "watch": "TOO_MANY_WAITS",
    "grpc.reflection.v1.ServerReflection": "TOO_MANY_INCOMING_STREAMS",
    "grpc.reflection.v1alpha.ServerReflection": "TOO_MANY_INCOMING_STREAMS",
}


@pytest.mark.parametrize(("kind", "reason"), STREAMS.items())
async def test_streams_are_bounded_by_connection_and_process(kind: str, reason: str) -> None:
    async with serving_world(FEW) as world, AsyncExitStack() as stack:
        channels = [await stack.enter_async_context(another(world)) for _ in range(3)]
        opened = [open_stream(channel, kind) for channel in channels[:2] for _ in range(2)]
        for stream in opened:
            assert await stream.read()
        for channel, scope, limit in ((channels[0], "connection", 2), (channels[2], "tenant", 2)):
            refused = await refusal(open_stream(channel, kind, silent=True).read())
            assert (refused.code, refused.reason) == ("RESOURCE_EXHAUSTED", reason)
            assert refused.metadata == {"scope": scope, "limit": str(limit)}
            assert refused.retry_seconds > 0
        assert world.edge.refused == {reason: 2}
        opened.pop().cancel()
        await until_true(lambda: world.edge.open_calls()["waits"] == 3)
        again = open_stream(channels[1], kind)
        assert await again.read()


async def test_half_sent_health_checks_hold_little() -> None:
    size, count = 4_000_000, 40
    async with serving_world(FEW) as world, half_sending(world.target) as sender:
        sender.open(f"/{HEALTH}/Check", "slow", count, size)
        most = 0
        while sender.sent:
            await world.call("live", "other")
            most = max(most, sender.held)
        assert 0 < most <= 2 * FEW.probe_calls * size + count * (64 << 10) * 3
        assert len(sender.trailers) == count


async def test_health_is_answered_when_all_else_is_at_its_limits() -> None:
    async with (
        serving_world() as world,
        another(world) as channel,
        half_sending(world.target) as sender,
        AsyncExitStack() as stack,
    ):
        for kind in ("bulk", "figures", "claims", "live", "urgent"):
            before = world.servicer.working["slow"]
            more = LIMITS.urgent_calls if kind == "urgent" else PLACES[kind]
            await world.fill(stack, kind, 3 * more, before + more)
        sender.open(f"/{RECORDS}/CreateTaskRecord", "slow", 40, 4_000_000)
        await until_true(lambda: sender.held)
        for _ in range(20):
            await check(channel, metadata=as_tenant("slow"))


async def test_heartbeats_are_not_behind_the_uploads_of_their_own_tenant() -> None:
    """A hundred of those have a place, and two at a time are read."""
    many = LIMITS.model_copy(update={"live_calls": 100})
    async with serving_world(many) as world, half_sending(world.target) as sender:
        sender.open(f"/{RECORDS}/CreateTaskRecord", "one", 200, 4_000_000)
        await until_true(lambda: sender.held)
        for _ in range(5):
            await world.call("urgent", "one")


async def test_in_a_drain_health_is_answered_and_streams_are_told() -> None:
    async with serving_world() as world, another(world) as channel, AsyncExitStack() as stack:
        await world.fill(stack, "live", 1, 1)
        streams = [open_stream(channel, kind) for kind in STREAMS]
        for stream in streams:
            assert await stream.read()

        async def stop(_: float) -> None:
            """The world's end does it."""

        draining = asyncio.create_task(world.edge.drain(20, stop))
        for stream in streams:
            with pytest.raises(grpc.aio.AioRpcError) as ended:
                await stream.read()
            told = read_refusal(ended.value)
            assert (told.code, told.reason) == ("UNAVAILABLE", "DRAINING")
        assert not draining.done()
        await check(channel)
        for kind in STREAMS:
            assert (
                await refusal(open_stream(channel, kind, silent=True).read())
            ).reason == "DRAINING"
        world.servicer.released.set()
        await draining


async def test_what_channelz_does_not_know_is_not_found() -> None:
    async with serving_world() as world, another(world) as channel:
        stub = channelz_pb2_grpc.ChannelzStub(channel)
        found, *_ = (await stub.GetServers(channelz_pb2.GetServersRequest())).server
        assert await stub.GetServer(channelz_pb2.GetServerRequest(server_id=found.ref.server_id))
        missing = await refusal(stub.GetServer(channelz_pb2.GetServerRequest(server_id=1 << 40)))
        assert (missing.code, missing.reason) == ("NOT_FOUND", "CHANNELZ_ENTITY_NOT_FOUND")
