"""Each fault that the judge of registers is there for, seeded: it must be found within seconds."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import pytest

from tests.faults import register_clients, registers
from tests.faults.register_clients import Clients, Door
from tests.support import register_checker
from tests.support.proxy import Proxy
from tests.support.register_checker import Process
from tests.support.stores import Valkey, valkey_home
from vwed.client import connect
from vwed_grpc.cache import read_through
from vwed_grpc.cache.redis_client import RedisClient
from vwed_grpc.server import serving
from vwed_grpc.settings import Settings
from vwed_grpc.storage import data_cache

SECONDS = 30.0
"""At most; a fault is found within a few."""
READERS = 12
FILL_ALWAYS = "redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) return 1"


@pytest.fixture(autouse=True)
def many_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is an occasion for a fault to show."""
    monkeypatch.setattr(register_clients, "READS_A_WRITE", 5)


@asynccontextmanager
async def stage(settings: Settings, tenant: str, far: float) -> AsyncIterator[Clients]:
    """Two servers in this process, so that they can be spoilt; one is `far` seconds from Redis."""
    async with AsyncExitStack() as stack:
        valkey = Valkey(stack.enter_context(valkey_home()))
        stack.callback(valkey.stop)
        await valkey.start()
        doors = []
        for name, delay in (("far", far), ("near", 0.0)):
            proxy = await stack.enter_async_context(Proxy(valkey.socket))
            proxy.delay = delay
            own = settings.model_copy(update={"redis_url": f"redis://127.0.0.1:{proxy.port}"})
            port = await stack.enter_async_context(serving(own))
            client = await stack.enter_async_context(
                connect(f"127.0.0.1:{port}", tenant=tenant, bare=True)
            )
            doors.append(Door(client, partial(_process, name)))
        yield Clients(doors, await registers.create(doors[0].client))


def _process(name: str) -> Process:
    return name, 1


async def violations(settings: Settings, tenant: str, far: float = 0.0) -> list[str]:
    """Plays until something is found, or for as long as it takes to be sure that nothing is."""
    async with stage(settings, tenant, far) as clients:
        playing = asyncio.create_task(clients.play(READERS))
        found: list[str] = []
        for _ in range(int(SECONDS)):
            await asyncio.sleep(1)
            found = register_checker.check(clients.journal, lambda *_: False).violations
            if found:
                break
        clients.over.set()
        await playing
        assert clients.surprises == []
        return found


@pytest.mark.bites
async def test_a_fill_without_a_lease_is_found(
    settings: Settings, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_through, "FILL", FILL_ALWAYS)
    # A write must come between a load and its fill.
    monkeypatch.setattr(registers.Register, "pause", 0.1)
    assert await violations(settings, tenant, far=0.03)


@pytest.mark.bites
async def test_a_skipped_invalidation_is_found(
    settings: Settings, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed = RedisClient.committed

    async def forgetful(
        self: RedisClient, _: Iterable[str], publish: Iterable[tuple[str, bytes]] = ()
    ) -> None:
        await committed(self, (), publish)

    monkeypatch.setattr(RedisClient, "committed", forgetful)
    assert await violations(settings, tenant)


@pytest.mark.bites
async def test_an_ignored_expire_time_is_found(
    settings: Settings, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    get = data_cache.get

    async def endless(*args: Any, **fields: Any) -> Any:
        found = await get(*args, **fields)
        return found and (found[0], None)

    monkeypatch.setattr(data_cache, "get", endless)
    monkeypatch.setattr(registers.ShortLived, "pause", 0.5)
    found = await violations(settings, tenant)
    assert any("after its end" in violation for violation in found)
