"""An expired entry is absent in every RPC: never early, never after, by the database's clock.

PostgreSQL runs on this machine, so its clock and the tests' are the same.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
import sqlalchemy as sa
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy.ext.asyncio import create_async_engine
from vwed.v1.cache_service_pb2 import (
    BatchGetDataCacheRequest,
    BatchSetDataCacheRequest,
    ClearDataCacheRequest,
    IncrementDataCacheRequest,
    SetDataCacheRequest,
    TouchDataCacheRequest,
)
from vwed.v1.data_cache_pb2 import DataCache

from tests.support.calls import create_def, create_run, get_entry, set_entry
from tests.support.refusals import refusal
from tests.support.steps import seconds
from vwed.client import Client, connect
from vwed_grpc.server import serving
from vwed_grpc.settings import Settings


@pytest.fixture
async def run(client: Client) -> str:
    return (await create_run(client, (await create_def(client)).id)).id


def end(entry: DataCache) -> float:
    return entry.expire_time.ToNanoseconds() / 1e9


async def touch(client: Client, run: str, key: str, **expiration: Any) -> DataCache:
    request = TouchDataCacheRequest(task_record_id=run, key=key, **expiration)
    return await client.cache.TouchDataCache(request)


async def increment(client: Client, run: str, key: str) -> DataCache:
    request = IncrementDataCacheRequest(task_record_id=run, key=key, int_delta=1)
    return await client.cache.IncrementDataCache(request)


async def wait_for_end(entry: DataCache) -> None:
    await asyncio.sleep(max(end(entry) - time.time(), 0) + 0.002)


async def test_never_early_never_after(
    client: Client, settings: Settings, tenant: str, run: str
) -> None:
    """Read through two replicas all the time, those long-lived enough from Redis."""
    wrong: list[str] = []
    answers = {"OK": 0, "NOT_FOUND": 0}

    async def follow(replicas: tuple[Client, ...], key: str, life: float) -> None:
        entry = await set_entry(client, run, key, int_value=1, ttl=seconds(life))
        gone = 0
        while time.time() < end(entry) + 0.4 or gone < 10:
            began = time.time()
            try:
                await get_entry(random.choice(replicas), run, key)
            except grpc.aio.AioRpcError as error:
                answers[error.code().name] += 1
                gone += 1
                if time.time() < end(entry):
                    wrong.append(f"{key} was gone {end(entry) - time.time():.6f} s early")
            else:
                answers["OK"] += 1
                if began >= end(entry):
                    wrong.append(f"{key} was there {began - end(entry):.6f} s after")
            await asyncio.sleep(random.uniform(0, 0.02))

    async with (
        serving(settings) as port,
        connect(f"127.0.0.1:{port}", tenant=tenant, bare=True) as other,
    ):
        lives = [random.uniform(0.05, 2.5) for _ in range(20)]
        await asyncio.gather(
            *(follow((client, other), f"k{n}", life) for n, life in enumerate(lives))
        )
    assert wrong == []
    assert min(answers.values()) > 50


async def test_expired_means_absent_in_every_rpc(client: Client, run: str) -> None:
    entries = {
        key: await set_entry(client, run, key, int_value=9, ttl=seconds(0.05))
        for key in ("get", "touch", "increment", "absent", "version", "batch")
    }
    await wait_for_end(entries["batch"])
    assert (await refusal(get_entry(client, run, "get"))).code == "NOT_FOUND"
    assert (await refusal(touch(client, run, "touch"))).code == "NOT_FOUND"
    found = await client.cache.BatchGetDataCache(
        BatchGetDataCacheRequest(task_record_id=run, keys=list(entries))
    )
    assert list(found.missing_keys) == list(entries)
    cleared = await client.cache.ClearDataCache(ClearDataCacheRequest(task_record_id=run))
    assert cleared.deleted_count == 0

    new = await increment(client, run, "increment")
    assert new.int_value == 1
    assert not new.HasField("expire_time")
    taken = await set_entry(client, run, "absent", int_value=1, if_absent=True)
    for now, before in ((new, entries["increment"]), (taken, entries["absent"])):
        assert now.version > before.version
        assert now.id != before.id
        assert now.create_time.ToNanoseconds() > before.create_time.ToNanoseconds()
    version = entries["version"].version
    refused = await refusal(set_entry(client, run, "version", int_value=1, if_version=version))
    assert (refused.code, refused.reason) == ("FAILED_PRECONDITION", "KEY_ABSENT")
    entry = DataCache(task_record_id=run, key="batch", int_value=1)
    only_new = SetDataCacheRequest(data_cache=entry, if_absent=True)
    await client.cache.BatchSetDataCache(
        BatchSetDataCacheRequest(task_record_id=run, requests=[only_new])
    )


# Touch


async def test_touch_moves_the_end_and_keeps_the_value(client: Client, run: str) -> None:
    stored = await set_entry(client, run, "k", string_value="v", ttl=seconds(0.3))
    await get_entry(client, run, "k")
    touched = await touch(client, run, "k", ttl=seconds(60))
    assert touched.string_value == "v"
    assert touched.id == stored.id
    assert touched.version > stored.version
    assert end(touched) > time.time() + 50
    await wait_for_end(stored)
    assert await get_entry(client, run, "k") == touched
    forever = await touch(client, run, "k")
    assert not forever.HasField("expire_time")
    assert await get_entry(client, run, "k") == forever


async def test_touch_shortens_what_was_already_in_the_cache(client: Client, run: str) -> None:
    await set_entry(client, run, "k", string_value="v")
    await get_entry(client, run, "k")
    touched = await touch(client, run, "k", ttl=seconds(0.1))
    assert await get_entry(client, run, "k") == touched
    await wait_for_end(touched)
    assert (await refusal(get_entry(client, run, "k"))).code == "NOT_FOUND"


async def test_a_touch_that_changes_nothing_writes_nothing(client: Client, run: str) -> None:
    at = Timestamp()
    at.FromDatetime(datetime.now(UTC) + timedelta(hours=1))
    stored = await set_entry(client, run, "k", int_value=1, expire_time=at)
    assert await touch(client, run, "k", expire_time=stored.expire_time) == stored


@pytest.mark.parametrize(
    "expiration",
    [
        {"ttl": Duration()},
        {"ttl": Duration(seconds=-1)},
        {"ttl": Duration(nanos=999)},
        {"ttl": Duration(seconds=366 * 86400, nanos=1000)},
        {"ttl": Duration(seconds=300 * 366 * 86400)},
        {"expire_time": Timestamp(seconds=1)},
        {"expire_time": Timestamp(seconds=253_402_300_799)},
    ],
)
async def test_what_cannot_be_an_expiration(
    client: Client, run: str, expiration: dict[str, Any]
) -> None:
    stored = await set_entry(client, run, "k", int_value=1)
    for call in (
        touch(client, run, "k", **expiration),
        set_entry(client, run, "k", int_value=2, **expiration),
        set_entry(client, run, "k", int_value=2, if_version=stored.version, **expiration),
        set_entry(client, run, "new", int_value=2, **expiration),
        set_entry(client, run, "new", int_value=2, if_absent=True, **expiration),
    ):
        refused = await refusal(call)
        assert refused.code == "INVALID_ARGUMENT"
        assert refused.fields == list(expiration)
    refused = await refusal(batch_set(client, run, {"k": {}, "new": expiration}))
    assert refused.code == "INVALID_ARGUMENT"
    assert refused.fields == [f"requests[1].{name}" for name in expiration]
    assert await get_entry(client, run, "k") == stored
    assert (await refusal(get_entry(client, run, "new"))).code == "NOT_FOUND"


# A ttl counts from when the entry is written, to the microsecond


LIFE = timedelta(seconds=2)


async def batch_set(client: Client, run: str, keys: dict[str, dict[str, Any]]) -> list[DataCache]:
    """Sets several entries at once, each with options of its own."""
    requests = [
        SetDataCacheRequest(data_cache=DataCache(key=key, int_value=1), **options)
        for key, options in keys.items()
    ]
    answer = await client.cache.BatchSetDataCache(
        BatchSetDataCacheRequest(task_record_id=run, requests=requests)
    )
    return list(answer.data_caches)


def lives(entry: DataCache) -> timedelta:
    return entry.expire_time.ToDatetime() - entry.update_time.ToDatetime()


async def set_if_version(client: Client, run: str) -> DataCache:
    version = (await get_entry(client, run, "k")).version
    return await set_entry(client, run, "k", int_value=2, ttl=LIFE, if_version=version)


async def set_two(client: Client, run: str) -> DataCache:
    one, other = await batch_set(client, run, {"k": {"ttl": LIFE}, "l": {"ttl": LIFE * 2}})
    assert lives(other) == LIFE * 2
    return one


WAYS: dict[str, Callable[[Client, str], Coroutine[Any, Any, DataCache]]] = {
    "set": lambda client, run: set_entry(client, run, "k", int_value=2, ttl=LIFE),
    "set if_version": set_if_version,
    "touch": lambda client, run: touch(client, run, "k", ttl=LIFE),
    "batch": set_two,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("held_up", [False, True])
async def test_a_ttl_counts_from_the_update_time(
    client: Client, database_url: str, run: str, way: str, *, held_up: bool
) -> None:
    """Also of who waits for the row longer than the ttl: it is no less worth by then."""
    await set_entry(client, run, "k", int_value=1)
    if held_up:
        async with locked(database_url, run, "k"):
            writing = asyncio.create_task(WAYS[way](client, run))
            await asyncio.sleep(0.3)
            released = time.time_ns()
        entry = await writing
        assert entry.update_time.ToNanoseconds() > released
    else:
        entry = await WAYS[way](client, run)
    assert lives(entry) == LIFE
    stored = await get_entry(client, run, "k")
    assert (stored.update_time, stored.expire_time) == (entry.update_time, entry.expire_time)


async def test_a_new_entry_lives_as_long_as_it_is_told(client: Client, run: str) -> None:
    made = [
        await set_entry(client, run, "a", int_value=1, ttl=LIFE),
        await set_entry(client, run, "b", int_value=1, ttl=LIFE, if_absent=True),
        *await batch_set(client, run, {"c": {"ttl": LIFE}, "d": {"ttl": LIFE}}),
        await touch(client, run, "a", ttl=LIFE),
        await set_entry(client, run, "d", int_value=1, ttl=LIFE),
    ]
    assert {lives(entry) for entry in made} == {LIFE}


@pytest.mark.parametrize("way", WAYS)
async def test_an_expire_time_that_comes_while_it_waits_is_refused(
    client: Client, database_url: str, run: str, way: str
) -> None:
    """Else an entry would be acknowledged that is no more, and would have ended the one before."""
    before = await set_entry(client, run, "k", int_value=1)
    at = Timestamp()
    at.FromDatetime(datetime.now(UTC) + timedelta(seconds=0.3))
    late: dict[str, Any] = {"expire_time": at}
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "set": lambda: set_entry(client, run, "k", int_value=2, **late),
        "set if_version": lambda: set_entry(
            client, run, "k", int_value=2, if_version=before.version, **late
        ),
        "touch": lambda: touch(client, run, "k", **late),
        "batch": lambda: batch_set(client, run, {"j": {}, "k": late}),
    }
    async with locked(database_url, run, "k"):
        writing = asyncio.create_task(refusal(calls[way]()))
        await asyncio.sleep(max(at.ToNanoseconds() / 1e9 - time.time(), 0) + 0.01)
    refused = await writing
    assert refused.code == "INVALID_ARGUMENT"
    assert refused.fields == ["requests[1].expire_time" if way == "batch" else "expire_time"]
    assert await get_entry(client, run, "k") == before


# Who waits for a lock may wait past the end


@asynccontextmanager
async def locked(url: str, run: str, key: str) -> AsyncIterator[None]:
    """Somebody else holds the entry's row."""
    engine = create_async_engine(sa.make_url(url).set(drivername="postgresql+asyncpg"))
    async with engine.begin() as connection:
        await connection.execute(
            sa.text(
                "SELECT 1 FROM data_cache WHERE task_record_id = :run AND key = :key FOR UPDATE"
            ),
            {"run": run, "key": key},
        )
        yield
    await engine.dispose()


async def test_who_waited_past_the_end_finds_nothing(
    client: Client, database_url: str, run: str
) -> None:
    entry = await set_entry(client, run, "k", int_value=9, ttl=seconds(0.4))
    async with locked(database_url, run, "k"):
        touching = asyncio.create_task(refusal(touch(client, run, "k", ttl=seconds(60))))
        if_version = set_entry(client, run, "k", int_value=2, if_version=entry.version)
        setting = asyncio.create_task(refusal(if_version))
        await asyncio.sleep(0.1)
        await wait_for_end(entry)
    assert (await touching).code == "NOT_FOUND"
    assert (await setting).reason == "KEY_ABSENT"
    assert (await refusal(get_entry(client, run, "k"))).code == "NOT_FOUND"


async def test_an_increment_that_waited_past_the_end_starts_anew(
    client: Client, database_url: str, run: str
) -> None:
    entry = await set_entry(client, run, "k", int_value=9, ttl=seconds(0.4))
    async with locked(database_url, run, "k"):
        counting = asyncio.create_task(increment(client, run, "k"))
        await asyncio.sleep(0.1)
        await wait_for_end(entry)
    assert (await counting).int_value == 1
