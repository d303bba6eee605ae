"""Who listens to Redis hears each message, and is told whenever some may have been missed."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial

import pytest
from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from tests.support.proxy import Proxy, proxy_of
from tests.support.waiting import PATIENCE, until_true
from vwed_grpc.cache.seal import Seal
from vwed_grpc.process.background import keep_going
from vwed_grpc.watching import wakeups as module
from vwed_grpc.watching.wakeups import Wakeups


@pytest.fixture
async def proxy(redis_url: str) -> AsyncIterator[Proxy]:
    async with proxy_of(redis_url) as proxy:
        yield proxy


@pytest.fixture
async def wakeups(proxy: Proxy) -> AsyncIterator[Wakeups]:
    wakeups = Wakeups(f"redis://127.0.0.1:{proxy.port}", Seal(b"a key"))
    async with AsyncExitStack() as stack:
        keep_going(stack, wakeups.run)
        yield wakeups


async def publish(redis: Redis, wakeups: Wakeups, channel: str, content: bytes) -> None:
    await redis.execute_command("SPUBLISH", *wakeups.message(channel, content))  # type: ignore[no-untyped-call]  # redis-py has no types for it


async def test_a_quiet_redis_is_asked_whether_it_is_there(
    wakeups: Wakeups, redis: Redis, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that stays silent would be left after the first time."""
    monkeypatch.setattr(module, "_SILENCE", 0.05)
    asked, heard, ping = Counter[PubSub](), list[bytes | None](), PubSub.ping

    async def counted(pubsub: PubSub) -> bool:
        asked[pubsub] += 1
        return await ping(pubsub)

    monkeypatch.setattr(PubSub, "ping", counted)
    with wakeups.listen(tenant, heard.append):
        # A busy machine may answer later than that, and then the next connection is asked.
        await until_true(lambda: max(asked.values(), default=0) > 5)
        monkeypatch.undo()

        async def told() -> bool:
            await publish(redis, wakeups, tenant, b"news")
            return b"news" in heard

        await until_true(told)


async def test_a_redis_that_does_not_say_whether_it_is_there_is_gone(
    wakeups: Wakeups, proxy: Proxy, redis: Redis, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = list[bytes | None]()
    with wakeups.listen(tenant, heard.append):
        await until_true(lambda: wakeups.connected and heard)
        monkeypatch.setattr(module, "_SILENCE", 0.05)
        proxy.hold_answers()
        await until_true(lambda: not wakeups.connected)
        assert heard == [None, None]
        monkeypatch.undo()
        proxy.thaw()
        await until_true(lambda: wakeups.connected)
        await until_true(lambda: len(heard) == 3)  # and once for the new connection
        await publish(redis, wakeups, tenant, b"news")
        await until_true(lambda: b"news" in heard)
        assert heard == [None, None, None, b"news"]


async def test_a_channel_may_be_left_and_followed_again(
    wakeups: Wakeups, redis: Redis, tenant: str
) -> None:
    """The server's answer that it is left is not taken for a slot that moved."""
    others = list[bytes | None]()
    with wakeups.listen(f"{tenant}2", others.append):
        await until_true(lambda: others)
        for content in (b"1", b"2", b"3"):
            heard = list[bytes | None]()
            with wakeups.listen(tenant, heard.append):
                await until_true(heard.copy)
                await publish(redis, wakeups, tenant, content)
                await until_true(partial(heard.__contains__, content))
                assert heard == [None, content]
            await until_true(lambda: followed_by_nobody(redis, tenant))
        assert others == [None]


async def followed_by_nobody(redis: Redis, channel: str) -> bool:
    _, count = await redis.execute_command("PUBSUB", "SHARDNUMSUB", channel)  # type: ignore[no-untyped-call]  # redis-py has no types for it
    return bool(count == 0)


@pytest.mark.parametrize("turns", range(12))
async def test_listening_ends_whenever_it_is_told_to(redis_url: str, turns: int) -> None:
    """Also while the library waits for what is done at that moment."""
    async with asyncio.timeout(PATIENCE), AsyncExitStack() as stack:
        keep_going(stack, Wakeups(redis_url, Seal(b"a key")).run)
        for _ in range(turns):
            await asyncio.sleep(0)
