"""PostgreSQL's primary dies, its standby takes over, and nothing acknowledged is lost."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import grpc
import pytest
from vwed.v1.record_service_pb2 import ListTaskRecordsRequest

from tests.faults import checker, feed_checker, history, promises
from tests.faults.checker import WatchLog
from tests.faults.feed_checker import FeedLog
from tests.faults.fleet import Fleet
from tests.faults.operators import end_all
from tests.faults.robots import robot
from tests.faults.watchers import LOST, feed_watcher, follow
from tests.faults.weather import Weather
from tests.support.clusters import Cluster, clusters
from tests.support.feeding import FeedReader, feeding
from tests.support.proxy import Proxy
from tests.support.replicas import Replica, started
from tests.support.steps import block, create, get, refused, report, running, sql
from tests.support.stores import Valkey, valkey_home
from tests.support.waiting import until_true
from tests.support.watching import Watcher, watching
from vwed.client import Client, connect
from vwed_grpc.domain.blocks import RUNNING
from vwed_grpc.domain.errors import Unavailable
from vwed_grpc.server import serving
from vwed_grpc.settings import Settings
from vwed_grpc.storage import feed as storage_feed
from vwed_grpc.storage import pulse, schema
from vwed_grpc.storage.database import Database, sync_engine

TENANT = "failover"
ROBOTS, WATCHERS = 6, 8
RECOVERY_SECONDS = 5.0
BUSY_SECONDS = 3.0
"""What a machine that other tests share may take on top."""


@pytest.fixture
def pair() -> Iterator[tuple[Cluster, Cluster]]:
    """A primary with a migrated database, and its synchronous standby."""
    with clusters("one", "two") as (primary, standby):
        primary.make()
        primary.start()
        primary.execute("CREATE DATABASE vwed")
        engine = sync_engine(primary.url("vwed"))
        schema.migrate(engine)
        engine.dispose()
        standby.clone(primary)
        standby.start()
        primary.commit_only_with_a_standby()
        yield primary, standby


@asynccontextmanager
async def two_replicas(
    pair: tuple[Cluster, Cluster], home: Path
) -> AsyncIterator[tuple[list[Replica], list[Client]]]:
    hosts = ",".join(cluster.host for cluster in pair)
    database_url = f"postgresql://postgres@{hosts}/vwed?target_session_attrs=read-write"
    async with AsyncExitStack() as stack:
        valkey = Valkey(stack.enter_context(valkey_home()))
        stack.callback(valkey.stop)
        await valkey.start()
        replicas = [
            Replica(database_url, f"unix://{valkey.socket}", home / f"replica-{name}.log")
            for name in ("a", "b")
        ]
        await stack.enter_async_context(started(*replicas))
        clients = [
            await stack.enter_async_context(
                connect(one.target, tenant=TENANT, actor="tester", bare=True)
            )
            for one in replicas
        ]
        yield replicas, clients


async def writes_again(client: Client) -> float:
    """Seconds until a run can be created."""
    since = time.monotonic()
    async with asyncio.timeout(60):
        while True:
            try:
                await create(client)
            except Exception:  # noqa: BLE001 - whatever it is told meanwhile
                await asyncio.sleep(0.05)
            else:
                return time.monotonic() - since


async def test_nothing_acknowledged_is_lost_and_watchers_go_on(
    pair: tuple[Cluster, Cluster], tmp_path: Path
) -> None:
    primary, standby = pair
    watches: list[WatchLog] = []
    feeds = [FeedLog("blocks", blocks=True, full=True), FeedLog("runs", blocks=False, full=False)]
    nothing_more, weather = asyncio.Event(), Weather()
    async with two_replicas(pair, tmp_path) as (replicas, clients):
        fleet = Fleet(clients, seed=random.randrange(2**32))
        await fleet.define()
        async with asyncio.TaskGroup() as actors:
            observing = actors.create_task(weather.observe())
            for feed in feeds:
                actors.create_task(feed_watcher(fleet, feed, nothing_more))
            robots = [actors.create_task(robot(fleet, f"robot-{n}")) for n in range(ROBOTS)]
            await until_true(lambda: len(fleet.runs) >= WATCHERS, what="enough runs")
            watching = []
            for n, run in enumerate(fleet.runs[-WATCHERS:]):
                log = WatchLog(f"watcher-{n}", run, full=True, bookmark=1.0)
                watches.append(log)
                rng = random.Random(n)
                watching.append(actors.create_task(follow(fleet, log, rng, patience=60)))
            await asyncio.sleep(1)
            killed = time.time()
            primary.kill()
            told_before = len(fleet.told.blocks)
            await asyncio.sleep(1)  # while nobody takes writes
            await asyncio.to_thread(standby.promote)
            weather.postgres_away.append((killed, time.time()))
            recovered = await asyncio.gather(*map(writes_again, clients))
            await asyncio.sleep(2)
            fleet.over.set()
            await asyncio.wait(robots)
            await end_all(fleet)  # a watcher stays until its run has ended
            await asyncio.wait(watching)
            nothing_more.set()
            observing.cancel()
        faults = [fault for one in replicas for fault in one.faults()]
    table = await history.read(standby.url("vwed"), TENANT)
    found = promises.check(fleet.told, table)
    for log in watches:
        found |= checker.check(log, table[log.run], weather)
    for feed in feeds:
        feed.streams = [stream for stream in feed.streams if LOST not in stream.ending]
        found |= feed_checker.check(feed, table, weather)
    print(  # noqa: T201 - the figures are of interest
        f"recovered after {recovered}; {told_before} of {len(fleet.told.blocks)} reports before;"
        f" {sum(map(len, table.values()))} events;"
        f" feeds {[[s.ending for s in f.streams] for f in feeds]}"
    )
    assert found == {}
    assert not faults
    assert told_before > 0
    assert len(fleet.told.blocks) > told_before
    assert max(recovered) < RECOVERY_SECONDS + BUSY_SECONDS


@asynccontextmanager
async def through_a_change(client: Client, run: str) -> AsyncIterator[tuple[FeedReader, Watcher]]:
    """A watch of all runs and one of a single one, which are told that the store is another."""
    told = partial(refused, grpc.StatusCode.UNAVAILABLE, "STORE_CHANGED")
    with told():
        async with feeding(client, include_blocks=True, bookmark=1) as feed:
            with told():
                async with watching(client, run, bookmark=1) as watch:
                    yield feed, watch
                    await watch.end()
            await feed.end()


async def test_a_primary_that_is_gone_without_a_word(
    pair: tuple[Cluster, Cluster], tenant: str
) -> None:
    """Its connections stay open and say nothing; all that was told before holds on the new one."""
    primary, standby = pair
    async with Proxy("127.0.0.1", primary.port) as proxy:
        own = Settings(
            listen="127.0.0.1:0",
            database_url=f"postgresql://postgres@127.0.0.1:{proxy.port},{standby.host}/vwed",
            redis_url="none",
        )
        async with (
            serving(own) as port,
            connect(f"127.0.0.1:{port}", tenant=tenant, bare=True) as client,
        ):
            run, other = await running(client), await create(client)
            pages = client.records.ListTaskRecords
            page = await pages(ListTaskRecordsRequest(page_size=1))
            away = Database(own.database_url or "", connections=8, statement_timeout=5.0)
            await pulse.beat(away.probe)
            async with through_a_change(client, run.id) as (feed, watch):
                await report(client, run.id, block("a", RUNNING))
                await feed.reach(run.id, 3)
                await watch.reach(3)
                await feed.until(lambda: not feed.messages[-1].events)
                proxy.freeze()
                hanging = [asyncio.create_task(get(client, run.id, strong=True)) for _ in range(4)]
                await asyncio.to_thread(standby.promote)
                assert await writes_again(client) < RECOVERY_SECONDS + BUSY_SECONDS
            # What hung was asked again.
            assert {record.seq for record in await asyncio.gather(*hanging)} == {3}
            await report(client, run.id, block("b", RUNNING))
            async with feeding(client, feed.token, include_blocks=True) as rest:
                await rest.reach(run.id, 4)
            assert rest.seqs(run.id) == [4]
            async with watching(client, run.id, after_seq=3) as watch:
                await watch.reach(4)
            page = await pages(ListTaskRecordsRequest(page_size=1, page_token=page.next_page_token))
            assert page.task_records[0].id in {run.id, other.id}
            ((timelines,),) = await sql(standby.url("vwed"), "SELECT count(*) FROM timelines")
            assert timelines == 2
            # Who has not heard of it yet takes no place of the new one for one of the old.
            with pytest.raises(Unavailable) as ended:
                await storage_feed.now(away.live, tenant)
            assert ended.value.reason == "STORE_CHANGED"
            away.probe.abandon()
            await pulse.beat(away.probe)
            assert (await storage_feed.now(away.live, tenant)).snapshot.xmax
            await away.close()
            # The old one comes back and knows of nothing: it is no help when the new one dies.
            proxy.thaw()
            standby.kill()
            with refused(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE"):
                await get(client, run.id, strong=True)
