"""Redis by its URL: what is well is used, also over TLS; what is wrong costs next to nothing."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path

import pytest
import sqlalchemy as sa
from redis.asyncio import Redis
from structlog.testing import capture_logs

from tests.support.waiting import promptly, until_true
from vwed_grpc.cache.breaker import BreakerState
from vwed_grpc.cache.client import client
from vwed_grpc.cache.read_through import ReadThrough
from vwed_grpc.cache.redis_client import RedisClient
from vwed_grpc.cache.seal import Seal

CERTIFICATE = Path(__file__).parent / "tls" / "certificate.pem"
"""Of 127.0.0.1, self-signed, with its key beside it."""
COST = 0.3
"""Seconds that a Redis in trouble may cost a caller, once."""

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
async def raw(redis_url: str) -> AsyncIterator[Redis]:
    async with client(redis_url) as redis:
        yield redis


@pytest.fixture
async def user(raw: Redis) -> AsyncIterator[str]:
    """Who may use our keys, with the password that belongs in a URL; `blind` may not."""
    for name, keys in (("robot", "vwed:*"), ("blind", "other:*")):
        await raw.acl_setuser(
            name, enabled=True, passwords=["+p@ss:word"], keys=[keys], commands=["+@all"]
        )
    yield "robot:p%40ss%3Aword"
    await raw.acl_deluser("robot", "blind")


@asynccontextmanager
async def listening(handle: Handler, *, tls: bool = False) -> AsyncIterator[int]:
    """A server at a port of its own."""
    context = None
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE, CERTIFICATE.with_name("key.pem"))

    async def handle_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            await handle(reader, writer)
        writer.close()

    server = await asyncio.start_server(handle_and_close, "127.0.0.1", ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def to_redis(url: str) -> Handler:
    """Passes everything on to the real server."""
    where = sa.make_url(url)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream = await (
            asyncio.open_unix_connection(url.removeprefix("unix://"))
            if url.startswith("unix:")
            else asyncio.open_connection(where.host, where.port)
        )
        back = asyncio.create_task(pump(upstream_reader, writer))
        await pump(reader, upstream)
        upstream.close()
        await back

    return handle


async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while chunk := await source.read(65_536):
            sink.write(chunk)
            await sink.drain()


async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    while await reader.read(65_536):
        pass


async def rude(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
    pass


async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(65_536)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")


async def load() -> bytes:
    return b"loaded"


async def settle(cache: ReadThrough) -> None:
    await until_true(lambda: not cache._tasks, every=0.002)  # readers do not wait for fills


@pytest.mark.parametrize("tls", [False, True])
async def test_a_redis_with_a_password_is_used(
    redis_url: str, user: str, tenant: str, tls: bool
) -> None:
    async with listening(to_redis(redis_url), tls=tls) as port:
        url = f"redis{'s' * tls}://{user}@127.0.0.1:{port}"
        url += f"?ssl_ca_certs={CERTIFICATE}" * tls
        async with RedisClient(url) as redis, ReadThrough(redis, Seal(b"a key")) as cache:
            for _ in range(2):
                assert await cache.get(f"vwed:{tenant}", 5, load) == b"loaded"
                await settle(cache)
            assert (cache.counters.fills, cache.counters.hits) == (1, 1)
            assert redis.state is BreakerState.CLOSED


WRONG: dict[str, tuple[Handler | None, bool, str]] = {
    "nobody there": (None, False, "redis://127.0.0.1:1"),
    "nobody there, with TLS": (None, False, "rediss://127.0.0.1:1"),
    "no such host": (None, False, "redis://no-such-host.invalid:6379"),
    "never answers": (silent, False, "redis://127.0.0.1:{port}"),
    "never answers the handshake": (silent, False, "rediss://127.0.0.1:{port}"),
    "hangs up": (rude, False, "redis://127.0.0.1:{port}"),
    "is no Redis": (web, False, "redis://127.0.0.1:{port}"),
    "speaks no TLS": (web, False, "rediss://127.0.0.1:{port}"),
    "unknown certificate": (silent, True, "rediss://127.0.0.1:{port}"),
    "certificate of another": (silent, True, "rediss://localhost:{port}?ssl_ca_certs={ca}"),
}


@pytest.mark.parametrize("wrong", WRONG)
async def test_a_wrong_redis_costs_little_once_and_then_nothing(wrong: str, tenant: str) -> None:
    handle, tls, url = WRONG[wrong]
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(listening(handle, tls=tls)) if handle else 1
        said = await costs_nothing(url.format(port=port, ca=CERTIFICATE), f"vwed:{tenant}")
        assert handle or "connecting to " in said


@pytest.mark.parametrize(
    ("who", "why"),
    [
        ("robot:wrong", "invalid username-password pair"),
        ("nobody:x", "invalid username-password pair"),
        (":wrong", "without any password"),
        ("blind:p%40ss%3Aword", "permission"),
    ],
)
async def test_a_user_who_may_not_is_such_a_redis(
    redis_url: str, user: str, tenant: str, who: str, why: str
) -> None:
    async with listening(to_redis(redis_url)) as port:
        said = await costs_nothing(f"redis://{who}@127.0.0.1:{port}", f"vwed:{tenant}")
        assert why in said


async def costs_nothing(url: str, key: str) -> str:
    """Nobody pays, from the start of the process on, and every answer is the database's.

    Answers why that is, as the log has it for operators.
    """

    async def once() -> float:
        times = [time.perf_counter()]
        async with RedisClient(url) as redis, ReadThrough(redis, Seal(b"a key")) as cache:
            times.append(time.perf_counter())
            assert redis.state is BreakerState.OPEN
            for _ in range(100):
                assert await cache.get(key, 5, load) == b"loaded"
                await redis.committed([key])
            times.append(time.perf_counter())
            assert redis.state is BreakerState.OPEN
        return max(after - before for before, after in pairwise(times))

    with capture_logs() as logged:
        await promptly(once, below=COST)
    return next(str(line["why"]) for line in logged if line["event"].startswith("redis is away"))
