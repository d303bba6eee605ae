"""A replica that took over, and was not told of the latest deletions, hides no write."""

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from tests.support.proxy import Proxy
from tests.support.redis_servers import PLAIN, Server, redis_servers
from tests.support.waiting import until_true
from vwed_grpc.cache import read_through
from vwed_grpc.cache.delivered import Delivered
from vwed_grpc.cache.keys import GENERATION, KeySpace
from vwed_grpc.cache.read_through import ReadThrough
from vwed_grpc.cache.redis_client import RedisClient
from vwed_grpc.cache.seal import Seal


class Pair:
    """A primary behind an address that will be its replica's, which hears of it by a proxy."""

    def __init__(self, primary: Server, replica: Server, address: Proxy, link: Proxy) -> None:
        self.primary, self.replica, self.address, self._link = primary, replica, address, link
        self.url = f"redis://127.0.0.1:{address.port}"

    async def has(self, key: str) -> bool:
        """Whether the replica does."""
        return bool(await self.replica.command("EXISTS", key))

    def cut_off(self) -> None:
        """The replica hears nothing more."""
        self._link.freeze()

    async def fail_over(self) -> None:
        self.primary.kill()
        await self._link.cut()
        await self.replica.command("REPLICAOF", "NO", "ONE")
        self.address.upstream = ("127.0.0.1", self.replica.port)


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    async with AsyncExitStack() as stack:
        servers = stack.enter_context(redis_servers())
        primary, replica = [await servers.start(*PLAIN) for _ in range(2)]
        link = await stack.enter_async_context(Proxy("127.0.0.1", primary.port))
        address = await stack.enter_async_context(Proxy("127.0.0.1", primary.port))
        await replica.command("REPLICAOF", "127.0.0.1", link.port)
        await until_true(replica.is_replica)
        yield Pair(primary, replica, address, link)


@pytest.fixture
def key() -> str:
    return KeySpace(GENERATION, secrets.token_hex(4)).key("def", "default", "weld")


@asynccontextmanager
async def process(url: str) -> AsyncIterator[tuple[RedisClient, ReadThrough]]:
    async with RedisClient(url) as redis, ReadThrough(redis, Seal(b"a key")) as cache:
        yield redis, cache


async def old() -> bytes:
    return b"old"


async def new() -> bytes:
    return b"new"


async def read_after_a_lost_deletion(pair: Pair, key: str) -> bytes | None:
    async with process(pair.url) as (redis, cache):
        await cache.get(key, 60, old)
        await until_true(lambda: cache.counters.fills)
        await until_true(lambda: pair.has(key))
        pair.cut_off()
        await redis.committed([key])
        assert redis.counters.undelivered == 0
        await pair.fail_over()
        assert await pair.has(key)
        await redis.committed(["any"])  # by which it learns that the primary has gone
        await until_true(lambda: redis.trusted)
        return await cache.get(key, 60, new)


async def test_a_value_whose_deletion_was_lost_is_not_read(pair: Pair, key: str) -> None:
    assert await read_after_a_lost_deletion(pair, key) == b"new"


@pytest.mark.bites
async def test_without_the_second_deletion_it_would_be(
    pair: Pair, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Delivered, "lately", lambda *_: [])
    assert await read_after_a_lost_deletion(pair, key) == b"old"


async def fills_after_a_lost_deletion(pair: Pair, key: str) -> int:
    async with process(pair.url) as (redis, cache):

        async def slow() -> bytes:
            """Reads the old row; meanwhile it is changed, and Redis fails over."""
            await until_true(lambda: pair.has(key))
            pair.cut_off()
            await redis.committed([key])
            await pair.fail_over()
            assert await pair.has(key)
            await redis.committed(["any"])
            await until_true(lambda: redis.trusted)
            return b"old"

        assert await cache.get(key, 60, slow) == b"old"  # it began before the write
        await until_true(lambda: not cache._tasks)
        assert cache.counters.misses == 1
        return cache.counters.fills


@pytest.fixture
def long_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a busy machine takes."""
    monkeypatch.setattr(read_through, "_LEASE_MS", 60_000)


@pytest.mark.usefixtures("long_lease")
async def test_a_lease_whose_deletion_was_lost_fills_nothing(pair: Pair, key: str) -> None:
    assert await fills_after_a_lost_deletion(pair, key) == 0


@pytest.mark.bites
@pytest.mark.usefixtures("long_lease")
async def test_without_the_second_deletion_it_would_fill(
    pair: Pair, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Delivered, "lately", lambda *_: [])
    assert await fills_after_a_lost_deletion(pair, key) == 1
