"""What Redis holds is served only if this service wrote it under that very key."""

from collections.abc import AsyncIterator, Callable

import grpc
import pytest
from redis.asyncio import Redis
from vwed.v1.record_service_pb2 import CreateTaskRecordRequest, GetTaskRecordRequest
from vwed.v1.task_record_pb2 import TaskRecord

from tests.support.calls import create_def
from tests.support.waiting import until_true
from vwed.client import connect
from vwed_grpc.cache.client import client
from vwed_grpc.cache.keys import GENERATION, KeySpace
from vwed_grpc.cache.read_through import ReadThrough
from vwed_grpc.cache.redis_client import RedisClient
from vwed_grpc.cache.seal import Seal

KEY = b"the secret of the database"


@pytest.fixture
async def raw(redis_url: str) -> AsyncIterator[Redis]:
    async with client(redis_url) as redis:
        yield redis


def key(tenant: str, id_: str = "run-1", generation: int = GENERATION) -> str:
    return KeySpace(generation, "sealed").key("run", tenant, id_)


SEAL = Seal(KEY)
STORED: dict[str, Callable[[str, bytes], bytes]] = {
    "of another key": lambda t, value: SEAL.sealed(key(t, "run-2"), value),
    "of another tenant": lambda t, value: SEAL.sealed(key(f"{t}-2"), value),
    "of another generation": lambda t, value: SEAL.sealed(key(t, generation=99), value),
    "of another database": lambda t, value: Seal(b"another").sealed(key(t), value),
    "without a key": lambda t, value: Seal(b"").sealed(key(t), value),
    "of the first releases": lambda _t, value: value,
    "an absence of theirs": lambda _t, _value: b"A",
    "an absence of another": lambda t, _value: SEAL.sealed(key(f"{t}-2"), b"A"),
    "cut": lambda t, value: SEAL.sealed(key(t), value)[:-1],
    "cut down to its seal": lambda t, value: SEAL.sealed(key(t), value)[:17],
    "cut within its seal": lambda t, value: SEAL.sealed(key(t), value)[:9],
    "longer": lambda t, value: SEAL.sealed(key(t), value) + b"x",
    "with one bit changed": lambda t, value: SEAL.sealed(key(t), value)[:-1] + b"%",
    "an absence instead": lambda t, value: SEAL.sealed(key(t), value)[:17] + b"A",
    "another mark": lambda t, value: b"T" + SEAL.sealed(key(t), value)[1:],
    "empty": lambda _t, _value: b"",
}


@pytest.mark.parametrize("stored", STORED)
async def test_what_is_not_ours_is_replaced(
    redis_url: str, raw: Redis, tenant: str, stored: str
) -> None:
    async def load() -> bytes:
        return b"loaded"

    await raw.set(key(tenant), STORED[stored](tenant, b"Vforged"))
    async with RedisClient(redis_url) as redis, ReadThrough(redis, SEAL) as cache:
        assert await cache.get(key(tenant), 5, load) == b"loaded"
        assert cache.counters.foreign == 1

        async def hit() -> bool:
            assert await cache.get(key(tenant), 5, load) == b"loaded"
            return cache.counters.hits > 0

        await until_true(hit, what="a value of ours")
    assert await raw.get(key(tenant)) == SEAL.sealed(key(tenant), b"Vloaded")


async def test_ours_is_served(redis_url: str, raw: Redis, tenant: str) -> None:
    """So what the table above refuses is refused for its seal."""

    async def load() -> bytes:
        raise AssertionError

    await raw.set(key(tenant), SEAL.sealed(key(tenant), b"Vstored"))
    await raw.set(key(tenant, "gone"), SEAL.sealed(key(tenant, "gone"), b"A"))
    async with RedisClient(redis_url) as redis, ReadThrough(redis, SEAL) as cache:
        assert await cache.get(key(tenant), 5, load) == b"stored"
        assert await cache.get(key(tenant, "gone"), 5, load) is None


async def test_a_value_of_another_tenant_is_not_told(target: str, raw: Redis, tenant: str) -> None:
    """Through the service: somebody copies one tenant's run under the key of another's."""
    async with (
        connect(target, tenant=tenant, bare=True) as owner,
        connect(target, tenant=f"{tenant}-2", bare=True) as spy,
    ):
        definition = await create_def(owner)
        run = TaskRecord(id="run-1", task_def_id=definition.id, external_id="secret")
        await owner.records.CreateTaskRecord(CreateTaskRecordRequest(task_record=run))

        async def stored() -> list[bytes]:
            await owner.records.GetTaskRecord(GetTaskRecordRequest(id="run-1"))
            return [name async for name in raw.scan_iter(match=f"vwed:*:{tenant}}}:*:run-1")]

        (name,) = await until_true(stored, what="the run in Redis", every=0.05)
        value = await raw.get(name)
        assert isinstance(value, bytes)
        assert b"secret" in value
        await raw.set(name.replace(tenant.encode(), f"{tenant}-2".encode()), value)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await spy.records.GetTaskRecord(GetTaskRecordRequest(id="run-1"))
        assert raised.value.code() is grpc.StatusCode.NOT_FOUND
