"""What an operator reads of the cache: its counters and the breaker's state, over HTTP."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict

import pytest
from structlog.testing import capture_logs
from vwed.v1.cache_service_pb2 import GetDataCacheRequest

from tests.support.calls import create_def, create_run, get_entry, set_entry
from tests.support.metrics_page import figures, figures_of, free_address
from tests.support.waiting import until_true
from vwed_grpc import metrics
from vwed_grpc.cache.breaker import BreakerState
from vwed_grpc.cache.counters import CacheCounters
from vwed_grpc.cache.read_through import ReadThrough
from vwed_grpc.cache.redis_client import RedisClient
from vwed_grpc.client import Client, connect
from vwed_grpc.lag import Lag
from vwed_grpc.server import serving
from vwed_grpc.settings import Settings
from vwed_grpc.workers import own_settings
from vwed_grpc.writes.condition import Condition

STRONG = (("x-vwed-consistency", "strong"),)


@pytest.fixture
def address() -> str:
    return free_address()


@asynccontextmanager
async def replica(settings: Settings, tenant: str, **own: str) -> AsyncIterator[Client]:
    async with (
        serving(settings.model_copy(update=own)) as port,
        connect(f"127.0.0.1:{port}", tenant=tenant) as client,
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


async def test_the_same_is_in_the_log_at_level_debug() -> None:
    async def load() -> bytes:
        return b"x"

    with capture_logs() as logged:
        async with RedisClient(None) as redis, ReadThrough(redis) as cache:
            await cache.get("k", 5, load)
            said = await until_true(lambda: [e for e in logged if e["event"] == "cache"])
    assert said[0]["log_level"] == "debug"
    assert said[0]["redis"] == "open"
    assert {name: said[0][name] for name in asdict(CacheCounters())} == asdict(
        CacheCounters(bypasses=1)
    )


def test_every_figure_says_what_it_is() -> None:
    duties = {"leases": Condition()}
    lines = metrics.page(CacheCounters(), BreakerState.CLOSED, Lag(), duties).splitlines()
    named = {line.split(" ")[2] for line in lines if line.startswith("# HELP ")}
    typed = {line.split(" ")[2] for line in lines if line.startswith("# TYPE ")}
    shown = {re.split("[ {]", line)[0] for line in lines if line[0] != "#"}
    assert named == typed == {re.sub("_(bucket|sum|count)$", "", name) for name in shown}


async def test_what_holds_the_loop_is_seen() -> None:
    lag = Lag()
    looking = asyncio.create_task(lag.run())
    await asyncio.sleep(0.02)
    time.sleep(0.06)  # noqa: ASYNC251 - holds the loop
    await asyncio.sleep(0.02)
    looking.cancel()
    found = figures_of(metrics.page(CacheCounters(), BreakerState.CLOSED, lag, {}))
    assert found['vwed_loop_lag_seconds_bucket{le="0.05"}'] < found["vwed_loop_lag_seconds_count"]
    assert found['vwed_loop_lag_seconds_bucket{le="+Inf"}'] == found["vwed_loop_lag_seconds_count"]
    assert found["vwed_loop_lag_seconds_sum"] >= 0.05


def test_each_worker_has_a_page_of_its_own() -> None:
    settings = Settings(metrics_listen="127.0.0.1:9100")
    shown = [own_settings(settings, number).metrics_listen for number in range(3)]
    assert shown == ["127.0.0.1:9101", "127.0.0.1:9102", "127.0.0.1:9103"]
    assert own_settings(Settings(), 1).metrics_listen is None
