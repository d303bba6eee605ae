"""What an operator reads of the cache: its counters and the breaker's state, over HTTP."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict

import grpc
import psycopg
import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs
from vwed.v1.cache_service_pb2 import GetDataCacheRequest
from vwed.v1.record_service_pb2 import (
    GetTaskRecordRequest,
    WatchTaskRecordRequest,
    WatchTaskRecordsRequest,
)
from vwed.v1.task_def_service_pb2 import ListTaskTemplatesRequest
from vwed.v1.task_record_pb2 import TaskRecordStatus

from tests.support.calls import create_def, create_run, get_entry, set_entry, start_run
from tests.support.databases import migrated_database
from tests.support.metrics_page import ask, figures, free_address
from tests.support.steps import block, let_lease_run_out, report, running, sql, until
from tests.support.waiting import until_true
from vwed.client import Client, connect
from vwed_grpc.cache.counters import CacheCounters
from vwed_grpc.cache.read_through import ReadThrough
from vwed_grpc.cache.redis_client import RedisClient
from vwed_grpc.cache.seal import Seal
from vwed_grpc.process import pages
from vwed_grpc.server import serving
from vwed_grpc.settings import Settings
from vwed_grpc.telemetry.lag import Lag
from vwed_grpc.telemetry.meters import Meters
from vwed_grpc.telemetry.page import page_of

INTERRUPTED = TaskRecordStatus.TASK_RECORD_STATUS_INTERRUPTED
STRONG = (("x-vwed-consistency", "strong"),)


@pytest.fixture
def address() -> str:
    return free_address()


@asynccontextmanager
async def replica(settings: Settings, tenant: str, **own: str) -> AsyncIterator[Client]:
    async with (
        serving(settings.model_copy(update=own)) as port,
        connect(f"127.0.0.1:{port}", tenant=tenant, bare=True) as client,
    ):
        yield client


async def test_reads_are_counted_by_how_they_were_answered(
    settings: Settings, tenant: str, address: str
) -> None:
    async with replica(settings, tenant, metrics_listen=address) as client:
        run = (await create_run(client, (await create_def(client)).id)).id
        await set_entry(client, run, "k", int_value=1)
        await get_entry(client, run, "k")

        async def filled() -> float:  # readers do not wait for that
            return (await figures(address))["vwed_cache_fills_total"]

        await until_true(filled)
        await get_entry(client, run, "k")
        request = GetDataCacheRequest(task_record_id=run, key="k")
        await client.cache.GetDataCache(request, metadata=STRONG)
        found = await figures(address)
        assert {name: found[name] for name in found if re.search("cache|redis", name)} == {
            "vwed_cache_hits_total": 1,
            "vwed_cache_misses_total": 1,
            "vwed_cache_bypasses_total": 0,
            "vwed_cache_joined_total": 0,
            "vwed_cache_strong_total": 1,
            "vwed_cache_fills_total": 1,
            "vwed_cache_refused_fills_total": 0,
            "vwed_cache_foreign_total": 0,
            "vwed_cache_opened_total": 0,
            "vwed_cache_undelivered": 0,
            'vwed_redis_breaker{state="open"}': 0,
            'vwed_redis_breaker{state="half_open"}': 0,
            'vwed_redis_breaker{state="closed"}': 1,
        }


async def test_a_redis_that_is_away_shows(settings: Settings, tenant: str, address: str) -> None:
    away = "redis://127.0.0.1:1"
    async with replica(settings, tenant, metrics_listen=address, redis_url=away) as client:
        run = (await create_run(client, (await create_def(client)).id)).id
        await set_entry(client, run, "k", int_value=1)
        await get_entry(client, run, "k")
        found = await figures(address)
    assert found['vwed_redis_breaker{state="open"}'] == 1
    assert found["vwed_cache_bypasses_total"] == 1
    assert found["vwed_cache_undelivered"] > 0


@pytest.mark.usefixtures("each_call_is_logged")
async def test_the_same_is_in_the_log_at_level_debug() -> None:
    async def load() -> bytes:
        return b"x"

    with capture_logs() as logged:
        async with RedisClient(None) as redis, ReadThrough(redis, Seal(b"a key")) as cache:
            await cache.get("k", 5, load)
            said = await until_true(lambda: [e for e in logged if e["event"] == "cache"])
    assert said[0]["log_level"] == "debug"
    assert said[0]["redis"] == "open"
    assert {name: said[0][name] for name in asdict(CacheCounters())} == asdict(
        CacheCounters(bypasses=1)
    )


async def test_every_figure_says_what_it_is(settings: Settings, tenant: str, address: str) -> None:
    async with replica(settings, tenant, metrics_listen=address) as client:
        await create_run(client, (await create_def(client)).id)
        lines = (await ask(address))[1].splitlines()
    named = {line.split(" ")[2] for line in lines if line.startswith("# HELP ")}
    typed = {line.split(" ")[2] for line in lines if line.startswith("# TYPE ")}
    shown = {re.split("[ {]", line)[0] for line in lines if line[0] != "#"}
    assert named == typed
    assert {re.sub("_(bucket|sum|count)$", "", name) for name in shown} <= named
    assert all(name.startswith("vwed_") for name in named)


async def test_calls_are_counted_by_method_and_code(
    settings: Settings, tenant: str, address: str
) -> None:
    async with replica(settings, tenant, metrics_listen=address) as client:
        for _ in range(2):
            with pytest.raises(grpc.aio.AioRpcError):
                await client.records.GetTaskRecord(GetTaskRecordRequest(id="no-such-run"))
        run = await create_run(client, (await create_def(client)).id)
        await client.records.GetTaskRecord(GetTaskRecordRequest(id=run.id))
        watch = client.records.WatchTaskRecord(WatchTaskRecordRequest(task_record_id=run.id))
        await watch.read()
        assert (await figures(address))['vwed_open_streams{class="live"}'] == 1
        watch.cancel()

        async def left() -> bool:
            return of("WatchTaskRecord", "CANCELLED") in await figures(address)

        await until_true(left)
        found = await figures(address)
    assert found[of("GetTaskRecord", "NOT_FOUND")] == 2
    assert found[of("GetTaskRecord", "OK")] == 1
    assert found[of("ClaimTaskRecords", "OK")] == 0  # a rate needs a beginning
    took = 'vwed_call_seconds_count{method="%s",service="RecordService"}'
    assert found[took % "GetTaskRecord"] == 3
    assert took % "WatchTaskRecord" not in found  # it says nothing how long somebody watches


def of(method: str, code: str) -> str:
    return f'vwed_calls_total{{code="{code}",method="{method}",service="RecordService"}}'


@pytest.fixture
def alone(settings: Settings, postgres_url: str) -> Iterator[Settings]:
    """On a database that no other server works on."""
    with migrated_database(postgres_url) as url:
        yield settings.model_copy(update={"database_url": url, "redis_url": "none"})


async def test_writes_waits_and_leases_are_counted(
    alone: Settings, tenant: str, address: str
) -> None:
    assert alone.database_url
    async with replica(alone, tenant, metrics_listen=address) as client:
        run = (await running(client, lease=60)).id
        await report(client, run, block("a"))
        found = await figures(address)
        assert found['vwed_flush_size_count{kind="reports"}'] == 1
        assert found['vwed_flush_size_sum{kind="reports"}'] == 1
        assert 0 < found['vwed_flush_seconds_sum{kind="reports"}'] < 10
        assert found['vwed_queued_writes{kind="reports"}'] == 0
        for pool in ("urgent", "live", "bulk", "figures", "duties", "probe"):
            assert found[f'vwed_queued_connections{{pool="{pool}"}}'] == 0
        assert found["vwed_lease_expiries_total"] == 0
        await let_lease_run_out(alone.database_url, run)
        await until(client, run, INTERRUPTED)
        assert (await figures(address))["vwed_lease_expiries_total"] == 1


async def test_work_that_waits_for_a_connection_shows(
    alone: Settings, tenant: str, address: str
) -> None:
    assert alone.database_url
    few = alone.model_copy(update={"database_connections": 8})
    waiting = 'vwed_queued_connections{pool="bulk"}'
    async with replica(few, tenant, metrics_listen=address) as client:
        async with await psycopg.AsyncConnection.connect(alone.database_url) as somebody:
            await somebody.execute("LOCK TABLE task_templates")
            lists = [
                asyncio.ensure_future(
                    client.definitions.ListTaskTemplates(ListTaskTemplatesRequest())
                )
                for _ in range(3)
            ]
            await until_true(lambda: shown(address, waiting))
        await asyncio.gather(*lists)
        found = await figures(address)
    assert found[waiting] == 0
    assert found['vwed_connection_waits_total{pool="bulk"}'] >= 1
    assert found['vwed_connection_wait_seconds_total{pool="bulk"}'] > 0
    assert found['vwed_connection_waits_total{pool="urgent"}'] == 0


async def test_how_late_watchers_hear_and_what_is_read_for_them(
    alone: Settings, tenant: str, address: str
) -> None:
    async with (
        replica(alone, tenant, metrics_listen=address) as client,
        replica(alone, tenant) as other,
    ):
        run = await create_run(client, (await create_def(client)).id)
        watch = client.records.WatchTaskRecords(WatchTaskRecordsRequest())
        stream = aiter(watch)
        assert (await anext(stream)).snapshot
        assert await shown(address, "vwed_catch_up_reads_total") >= 1  # the snapshot
        await start_run(other, run.id)  # which without Redis nobody hears: it is read
        while not (await anext(stream)).events:
            pass
        await until_true(lambda: shown(address, "vwed_tail_lag_seconds_count"))
        assert 0 < await shown(address, "vwed_tail_lag_seconds_sum") < 60
        watch.cancel()


async def test_an_outage_shows(alone: Settings, tenant: str, address: str) -> None:
    assert alone.database_url
    async with replica(alone, tenant, metrics_listen=address):
        before = await shown(address, "vwed_lease_renewals_total")
        await sql(
            alone.database_url,
            "UPDATE service_pulse SET beat = beat - interval '1 hour' RETURNING tenant",
        )

        async def noticed() -> bool:
            return await shown(address, "vwed_lease_renewals_total") > before

        await until_true(noticed)


async def test_the_age_of_the_oldest_run_that_waits_is_shown(
    alone: Settings, tenant: str, address: str
) -> None:
    async with replica(alone, tenant) as client:
        task_def = await create_def(client, task_type="putaway")
        first = await create_run(client, task_def.id)
        await create_run(client, task_def.id)
        await start_run(client, (await create_run(client, (await create_def(client, "x")).id)).id)
    async with replica(alone, tenant, metrics_listen=address):
        name = f'vwed_oldest_pending_run_seconds{{task_type="putaway",tenant="{tenant}"}}'
        age = await until_true(lambda: shown(address, name))
        assert age <= time.time() - first.create_time.ToNanoseconds() / 1e9
        assert not await shown(address, name.replace("putaway", ""))  # that one was begun


async def shown(address: str, name: str) -> float:
    return (await figures(address)).get(name, 0.0)


async def test_what_holds_the_loop_is_seen(address: str) -> None:
    registry = CollectorRegistry()
    lag = Lag(Meters(registry).loop_lag)
    looking = asyncio.create_task(lag.run())
    await asyncio.sleep(0.02)
    time.sleep(0.06)  # noqa: ASYNC251 - holds the loop
    await asyncio.sleep(0.02)
    looking.cancel()
    async with pages.showing(address, {"/metrics": page_of(registry)}):
        found = await figures(address)
    assert found['vwed_loop_lag_seconds_bucket{le="0.05"}'] < found["vwed_loop_lag_seconds_count"]
    assert found['vwed_loop_lag_seconds_bucket{le="+Inf"}'] == found["vwed_loop_lag_seconds_count"]
    assert 0.05 <= lag.longest <= found["vwed_loop_lag_seconds_sum"]
