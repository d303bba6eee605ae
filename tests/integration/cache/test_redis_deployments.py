"""Sentinels and a cluster: what is well is used; of what fails over, use is made again."""

import asyncio
import secrets
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from functools import partial

import pytest
from redis.crc import key_slot

from tests.support.redis_servers import (
    MASTER,
    SLOTS,
    Redundant,
    User,
    cluster_of_three,
    sentinel_set,
)
from tests.support.waiting import until_true
from vwed_grpc.cache.keys import GENERATION, KeySpace
from vwed_grpc.cache.read_through import ReadThrough
from vwed_grpc.cache.redis_client import RedisClient
from vwed_grpc.cache.seal import Seal
from vwed_grpc.loop.ending import end
from vwed_grpc.watching.news import NEWS
from vwed_grpc.watching.wakeups import Wakeups

TENANTS = 12
"""Enough for each of three servers to have some."""


@pytest.fixture(params=[sentinel_set, cluster_of_three], ids=["sentinel", "cluster"])
async def redis(request: pytest.FixtureRequest) -> AsyncIterator[Redundant]:
    start: Callable[[], AbstractAsyncContextManager[Redundant]] = request.param
    async with start() as servers:
        yield servers


@pytest.fixture
def keys() -> KeySpace:
    return KeySpace(GENERATION, secrets.token_hex(4))


class Process:
    """What one has of Redis, over a database of one value for each tenant."""

    def __init__(
        self, keys: KeySpace, client: RedisClient, cache: ReadThrough, wakeups: Wakeups
    ) -> None:
        self._keys = keys
        self.client, self.cache, self.wakeups = client, cache, wakeups
        self.rows = {f"tenant-{n}": b"first" for n in range(TENANTS)}

    async def read(self, tenant: str) -> bytes | None:
        async def load() -> bytes:
            return self.rows[tenant]

        return await self.cache.get(self._keys.key("def", tenant, "d"), 60, load)

    async def read_all(self) -> set[bytes | None]:
        found = set(await asyncio.gather(*map(self.read, self.rows)))
        await until_true(lambda: not self.cache._tasks)
        return found

    async def write_all(self, value: bytes) -> None:
        """And tells it on the channel of each tenant."""
        for tenant in self.rows:
            self.rows[tenant] = value
            stale = [self._keys.key("def", tenant, "d"), self._keys.key("def", tenant, "e")]
            await self.client.committed(
                stale, [self.wakeups.message(self._keys.key(NEWS, tenant), value)]
            )

    async def is_used(self) -> None:
        """Reads are hits, in the end; and none is ever older than the last write."""

        async def hits() -> bool:
            value = secrets.token_bytes(4)
            await self.write_all(value)
            before = self.cache.counters.hits
            assert await self.read_all() == {value}
            assert await self.read_all() == {value}
            return self.cache.counters.hits - before >= TENANTS

        await until_true(hits, what="that it is used")

    async def hears_all(self) -> None:
        """A message on each tenant's channel reaches who listens to it."""
        with ExitStack() as stack:
            heard: dict[str, list[bytes | None]] = {tenant: [] for tenant in self.rows}
            for tenant, messages in heard.items():
                channel = self._keys.key(NEWS, tenant)
                stack.enter_context(self.wakeups.listen(channel, messages.append))
            value = secrets.token_bytes(4)

            async def told() -> bool:
                await self.write_all(value)  # what meets a lost connection is not heard
                return all(value in messages for messages in heard.values())

            await until_true(told, what="all messages")


@asynccontextmanager
async def process(url: str, keys: KeySpace) -> AsyncIterator[Process]:
    seal = Seal(b"a key")
    wakeups = Wakeups(url, seal)
    listening = asyncio.create_task(wakeups.run())
    try:
        async with RedisClient(url) as client, ReadThrough(client, seal) as cache:
            yield Process(keys, client, cache, wakeups)
    finally:
        await end([listening])


async def kill(redis: Redundant) -> None:
    primary = await redis.primary()
    primary.kill()
    await redis.follows(primary)
    await primary.start()


async def freeze(redis: Redundant) -> None:
    primary = await redis.primary()
    primary.send(signal.SIGSTOP)
    try:
        await redis.follows(primary)
    finally:
        primary.send(signal.SIGCONT)


async def switch(redis: Redundant) -> None:
    await redis.switch()


async def test_all_of_it_is_used(redis: Redundant, keys: KeySpace) -> None:
    async with process(redis.url, keys) as process_:
        await process_.is_used()
        await process_.hears_all()


@pytest.mark.parametrize("trouble", [switch, kill, freeze])
async def test_who_takes_over_is_found(
    redis: Redundant, keys: KeySpace, trouble: Callable[[Redundant], Coroutine[None, None, None]]
) -> None:
    async with process(redis.url, keys) as one, process(redis.url, keys) as other:
        for process_ in (one, other):
            await process_.is_used()
        harming = asyncio.create_task(trouble(redis))
        value = b"0"
        while not (harming.done() and one.client.trusted and other.client.trusted):
            value = b"%d" % (int(value) + 1)
            await one.write_all(value)
            assert await one.read_all() == {value}
            other.rows = dict(one.rows)
            await asyncio.sleep(0.02)
        await harming
        for process_ in (one, other):
            await process_.hears_all()
            await process_.is_used()
        assert one.client.counters.undelivered == 0


async def test_a_shard_without_a_replica_is_used_again_when_it_is_back(keys: KeySpace) -> None:
    async with cluster_of_three() as redis, process(redis.url, keys) as alone:
        await alone.is_used()
        lost = redis.nodes[2]
        lost.kill()
        await alone.write_all(b"while it is away")
        assert not alone.client.trusted
        assert await alone.read_all() == {b"while it is away"}
        await lost.start()
        await until_true(lambda: alone.client.trusted)
        assert await alone.read_all() == {b"while it is away"}
        await alone.is_used()
        await alone.hears_all()


async def test_a_sentinel_that_is_away_is_not_missed(keys: KeySpace) -> None:
    async with sentinel_set() as redis:
        redis.sentinels[0].kill()
        async with process(redis.url, keys) as alone:
            await alone.is_used()


@pytest.mark.parametrize("watcher", [None, User("watcher", "an/other:p@ss")], ids=["open", "own"])
async def test_sentinels_have_a_user_and_password_of_their_own_and_their_servers_a_database(
    keys: KeySpace, watcher: User | None
) -> None:
    async with sentinel_set(user=User("robot", "a/p@ss:word"), watcher=watcher) as redis:
        url = redis.url.replace(f"/{MASTER}", f"/{MASTER}/1")
        async with process(url, keys) as process_:
            await process_.is_used()
        primary = await redis.primary()
        assert [*await primary.command("INFO", "keyspace")] == ["db1"]


async def test_a_primary_that_comes_back_too_late_is_not_used(
    redis: Redundant, keys: KeySpace
) -> None:
    """Sentinels let it be one for seconds, beside the one that took over."""
    async with process(redis.url, keys) as one, process(redis.url, keys) as idle:
        late = await redis.primary()
        late.kill()
        await redis.follows(late)
        await one.write_all(b"first")  # by which it learns of that
        await until_true(lambda: one.client.trusted)
        await late.start()
        idle.rows = one.rows
        await idle.read_all()
        await until_true(lambda: idle.client.trusted)
        for value in (b"one", b"two"):
            await idle.read_all()
            await one.write_all(value)
            assert await idle.read_all() == {value}


async def test_a_slot_that_moves_is_followed(keys: KeySpace) -> None:
    async with cluster_of_three() as redis, process(redis.url, keys) as alone:
        slot = key_slot(keys.key(NEWS, "tenant-0").encode())
        giver = redis.nodes[slot * 3 // SLOTS]
        taker = next(node for node in redis.nodes[:3] if node is not giver)
        name = (await taker.command("CLUSTER", "MYID")).decode()
        with alone.wakeups.listen(keys.key(NEWS, "tenant-0"), lambda _: None):
            await alone.is_used()
            await until_true(lambda: alone.wakeups.connected)
            await giver.command("FLUSHALL")  # a slot with keys would have to be moved key by key
            for node in (taker, giver):
                await node.command("CLUSTER", "SETSLOT", slot, "NODE", name)
            value = b"new"
            await until_true(partial(_moved, alone, value))
            await alone.hears_all()
            await alone.is_used()


async def _moved(alone: Process, value: bytes) -> bool:
    """Whether that was noticed, and is over; no read is older meanwhile."""
    await alone.write_all(value)
    assert await alone.read_all() == {value}
    return alone.cache.counters.opened > 0 and alone.client.trusted
