"""An entry's version grows with every write, also across delete and set, and never repeats."""

import asyncio
import random
import time
from datetime import timedelta

import grpc
import pytest
from vwed.v1.cache_service_pb2 import (
    ClearDataCacheRequest,
    DeleteDataCacheRequest,
    IncrementDataCacheRequest,
    TouchDataCacheRequest,
)
from vwed.v1.data_cache_pb2 import DataCache

from tests.support.calls import create_def, create_run, set_entry
from tests.support.steps import seconds, sql
from vwed.client import Client, connect
from vwed_grpc.server import serving
from vwed_grpc.settings import Settings
from vwed_grpc.storage import data_cache, due
from vwed_grpc.storage.connector import Connector
from vwed_grpc.storage.pool import Pool
from vwed_grpc.storage.transaction import Transaction


@pytest.fixture
async def run(client: Client) -> str:
    return (await create_run(client, (await create_def(client)).id)).id


async def increment(client: Client, run: str) -> DataCache:
    request = IncrementDataCacheRequest(task_record_id=run, key="k", int_delta=1)
    return await client.cache.IncrementDataCache(request)


async def touch(client: Client, run: str) -> DataCache:
    request = TouchDataCacheRequest(task_record_id=run, key="k", ttl=seconds(60))
    return await client.cache.TouchDataCache(request)


async def set_any(client: Client, run: str) -> DataCache:
    return await set_entry(client, run, "k", int_value=1)


async def set_new(client: Client, run: str) -> DataCache:
    return await set_entry(client, run, "k", int_value=1, if_absent=True)


async def delete(client: Client, run: str) -> None:
    await client.cache.DeleteDataCache(DeleteDataCacheRequest(task_record_id=run, key="k"))


async def clear(client: Client, run: str) -> None:
    await client.cache.ClearDataCache(ClearDataCacheRequest(task_record_id=run))


WRITES = [set_any, set_any, set_any, increment, set_new, touch, delete, clear]


async def test_it_grows_across_every_kind_of_write(client: Client, run: str) -> None:
    last = 0
    for write in (set_any, increment, touch, delete, set_any, clear, set_new, delete, increment):
        entry = await write(client, run)
        if entry is not None:
            assert entry.version > last
            last = entry.version


async def test_it_grows_in_the_order_of_writes_through_two_replicas(
    client: Client, settings: Settings, tenant: str, run: str
) -> None:
    """A write that begins after another was acknowledged has the greater version."""
    written: list[tuple[float, float, int]] = []

    async def write(through: Client) -> None:
        for _ in range(25):
            began = time.monotonic()
            try:
                entry = await random.choice(WRITES)(through, run)
            except grpc.aio.AioRpcError as error:
                if error.code().name not in {"NOT_FOUND", "FAILED_PRECONDITION"}:
                    raise
            else:
                if entry is not None:
                    written.append((began, time.monotonic(), entry.version))

    async with (
        serving(settings) as port,
        connect(f"127.0.0.1:{port}", tenant=tenant, bare=True) as other,
    ):
        await asyncio.gather(*(write((client, other)[n % 2]) for n in range(12)))
    versions = [version for _, _, version in written]
    assert len(set(versions)) == len(versions) > 100
    fell = [
        (before, after)
        for before in written
        for after in written
        if before[1] < after[0] and before[2] > after[2]
    ]
    assert fell == []


async def test_the_row_of_a_deleted_entry_stays_for_a_while_and_is_then_swept(
    client: Client, database_url: str, tenant: str, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await set_entry(client, run, "short", string_value="x", ttl=seconds(0.01))
    await set_entry(client, run, "long", string_value="x", ttl=seconds(60))
    for _ in range(2):  # so that its version is far above all that is left
        deleted = await set_entry(client, run, "k", string_value="secret")
    await delete(client, run)
    await asyncio.sleep(0.02)

    async def rows() -> dict[str, bytes]:
        found = await sql(
            database_url, "SELECT key, value FROM data_cache WHERE task_record_id = :run", run=run
        )
        return {row.key: row.value for row in found}

    async def sweep() -> int:
        async def work(tx: Transaction) -> int:
            return await data_cache.sweep(tx, tenant, 100)

        pool = Pool(Connector(database_url), connections=1)
        try:
            return await pool.run(work)
        finally:
            await pool.close()

    async def due_now() -> bool:
        """Whether a sweep is begun at all."""
        pool = Pool(Connector(database_url), connections=1)
        try:
            return tenant in {row.tenant for row in await pool.select(due.ENTRIES)}
        finally:
            await pool.close()

    assert not await due_now()
    assert await sweep() == 0
    assert (await rows())["k"] == b""
    monkeypatch.setattr(data_cache, "KEPT", timedelta(0))
    assert await sweep() == 2
    assert set(await rows()) == {"long"}
    assert (await set_new(client, run)).version > deleted.version

    await sql(
        database_url,
        "UPDATE data_cache SET expire_time = now() - interval '61 s',"
        " update_time = now() - interval '61 s' WHERE task_record_id = :run RETURNING key",
        run=run,
    )
    assert await due_now() or not await rows()  # the server may have been quicker
