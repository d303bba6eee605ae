"""PostgreSQL's primary dies, its standby takes over, and nothing acknowledged is lost."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from tests.faults import checker, feed_checker, history, promises
from tests.faults.checker import WatchLog
from tests.faults.feed_checker import FeedLog
from tests.faults.fleet import Fleet
from tests.faults.robots import robot
from tests.faults.watchers import feed_watcher, follow
from tests.faults.weather import Weather
from tests.support.clusters import Cluster, clusters
from tests.support.replicas import Replica, replica
from tests.support.steps import create
from tests.support.stores import Valkey, valkey_home
from tests.support.waiting import until_true
from vwed_grpc.client import Client, connect
from vwed_grpc.storage import schema
from vwed_grpc.storage.database import sync_engine

TENANT = "failover"
ROBOTS, WATCHERS = 6, 8
RECOVERY_SECONDS = 5.0
BUSY_SECONDS = 3.0
"""What a machine that other tests share may take on top."""
NO_WEATHER = Weather()
MINOR = {"prompt"}
"""Nothing is prompt while there is no primary."""


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
            await stack.enter_async_context(
                replica(database_url, f"unix://{valkey.socket}", home / f"replica-{name}.log")
            )
            for name in ("a", "b")
        ]
        clients = [
            await stack.enter_async_context(connect(one.target, tenant=TENANT, actor="tester"))
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
    nothing_more = asyncio.Event()
    async with two_replicas(pair, tmp_path) as (replicas, clients):
        fleet = Fleet(clients, seed=random.randrange(2**32))
        await fleet.define()
        async with asyncio.TaskGroup() as actors:
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
            primary.kill()
            told_before = len(fleet.told.blocks)
            await asyncio.sleep(1)  # while nobody takes writes
            await asyncio.to_thread(standby.promote)
            recovered = await asyncio.gather(*map(writes_again, clients))
            await asyncio.sleep(2)
            fleet.over.set()
            await asyncio.wait(robots)
            await asyncio.wait(watching)
            nothing_more.set()
        faults = [fault for one in replicas for fault in one.faults()]
    table = await history.read(standby.url("vwed"), TENANT)
    found = promises.check(fleet.told, table)
    for log in watches:
        found |= checker.check(log, table[log.run], NO_WEATHER)
    for feed in feeds:
        found |= feed_checker.check(feed, table, NO_WEATHER)
    print(  # noqa: T201 - the figures are of interest
        f"recovered after {recovered}; {told_before} of {len(fleet.told.blocks)} reports before;"
        f" {sum(map(len, table.values()))} events;"
        f" feeds {[[s.ending for s in f.streams] for f in feeds]}"
    )
    assert {name: bad for name, bad in found.items() if name.split()[-1] not in MINOR} == {}
    assert not faults
    assert told_before > 0
    assert len(fleet.told.blocks) > told_before
    assert max(recovered) < RECOVERY_SECONDS + BUSY_SECONDS
