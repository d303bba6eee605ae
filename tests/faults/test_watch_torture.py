"""Everything at once, and what the contract promises holds, as etcd's robustness suite does it.

The long form (`-m torture`, VWED_TORTURE_SECONDS) differs in nothing but its length.
"""

import asyncio
import os
import random
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import pytest

from tests.faults import checker, feed_checker, history, promises
from tests.faults.chaos import Chaos
from tests.faults.checker import WatchLog
from tests.faults.feed_checker import FeedLog
from tests.faults.fleet import Fleet
from tests.faults.operators import end_all, operator
from tests.faults.robots import robot
from tests.faults.verdict import Verdict
from tests.faults.watchers import feed_watcher, watcher
from tests.faults.weather import Weather
from tests.support.proxy import Proxy
from tests.support.replicas import Replica, started
from tests.support.stores import Valkey, postgres, valkey_home
from vwed.client import connect

SHORT_SECONDS = 20.0
ROBOTS, OPERATORS, WATCHERS = 10, 2, 20
TENANT = "torture"
FEEDS = {"all": (True, True), "slim": (True, False), "runs": (False, False)}
"""Name -> with blocks, in full."""


class Faults(Protocol):
    """What is done meanwhile."""

    @property
    def weather(self) -> Weather: ...
    @property
    def done(self) -> Counter[str]: ...
    async def until(self, end: float) -> None:
        """Goes on until `end` (monotonic seconds), and at least until it has done enough."""


@dataclass
class Stage:
    """Two replicas on one PostgreSQL and one Redis."""

    replicas: list[Replica]
    chaos: Faults
    fleet: Fleet
    database_url: str


@asynccontextmanager
async def stage(home: Path, seed: int) -> AsyncIterator[Stage]:
    """With a proxy on every way that may break."""
    async with AsyncExitStack() as stack:
        database_url = await stack.enter_async_context(postgres(home))
        valkey = Valkey(stack.enter_context(valkey_home()))
        stack.callback(valkey.stop)
        await valkey.start()
        replicas, to_redis, to_replicas, clients = [], [], [], []
        for name in ("a", "b"):
            proxy = await stack.enter_async_context(Proxy(valkey.socket))
            to_redis.append(proxy)
            redis_url = f"redis://127.0.0.1:{proxy.port}"
            replicas.append(Replica(database_url, redis_url, home / f"replica-{name}.log"))
        await stack.enter_async_context(started(*replicas))
        for server in replicas:
            front = await stack.enter_async_context(Proxy("127.0.0.1", server.port))
            to_replicas.append(front)
            clients += [
                await stack.enter_async_context(
                    connect(target, tenant=TENANT, actor="torture", bare=True)
                )
                for target in (server.target, f"127.0.0.1:{front.port}")
            ]
        fleet = Fleet(clients, seed)
        await fleet.define()
        rng = random.Random(seed + 1)
        chaos = Chaos(replicas, valkey, to_redis, to_replicas, database_url, Weather(), rng)
        yield Stage(replicas, chaos, fleet, database_url)


@dataclass
class Play:
    watches: list[WatchLog] = field(default_factory=list)
    feeds: list[FeedLog] = field(default_factory=list)


async def play(scene: Stage, seconds: float) -> Play:
    """Clients work and watchers watch while chaos reigns; then everything comes to its end."""
    fleet, chaos, seen = scene.fleet, scene.chaos, Play()
    nothing_more = asyncio.Event()
    observing = asyncio.create_task(chaos.weather.observe())
    async with asyncio.TaskGroup() as actors:
        for name, (blocks, full) in FEEDS.items():
            seen.feeds.append(FeedLog(f"feed {name}", blocks=blocks, full=full))
            actors.create_task(feed_watcher(fleet, seen.feeds[-1], nothing_more))
        workers = [
            *(actors.create_task(robot(fleet, f"robot-{n}")) for n in range(ROBOTS)),
            *(actors.create_task(operator(fleet)) for _ in range(OPERATORS)),
        ]
        watching = [
            actors.create_task(
                watcher(fleet, f"watcher-{n}", seen.watches, brisk=n >= 3)  # some are slow
            )
            for n in range(WATCHERS)
        ]
        await chaos.until(time.monotonic() + seconds)
        fleet.over.set()
        await asyncio.wait(workers)
        await end_all(fleet)
        await asyncio.wait(watching)
        nothing_more.set()
    observing.cancel()
    return seen


async def torture(
    home: Path,
    seconds: float,
    stage: Callable[[Path, int], AbstractAsyncContextManager[Stage]] = stage,
) -> Verdict:
    seed = int(os.environ.get("VWED_TORTURE_SEED", secrets.randbelow(2**32)))
    times = [time.monotonic()]
    async with stage(home, seed) as scene:
        times.append(time.monotonic())
        seen = await play(scene, seconds)
        times.append(time.monotonic())
        table = await history.read(scene.database_url, TENANT)
        memory = max(server.rss() for server in scene.replicas)
        logged = [fault for server in scene.replicas for fault in server.faults()]
    verdict = Verdict(seed, table, seen.watches, seen.feeds)
    verdict.done, verdict.told, verdict.memory = scene.chaos.done, scene.fleet.told, memory
    weather = scene.chaos.weather
    for log in seen.watches:
        verdict.find(checker.check(log, table.get(log.run, []), weather))
    for feed in seen.feeds:
        verdict.find(feed_checker.check(feed, table, weather))
    verdict.find(promises.check(scene.fleet.told, table))
    verdict.find({"sound servers": logged} if logged else {})
    verdict.seconds = [b - a for a, b in pairwise([*times, time.monotonic()])]
    return verdict


def judge(verdict: Verdict) -> None:
    print(verdict)  # noqa: T201 - the counts are what one runs it for
    assert not verdict.violations, verdict
    assert verdict.events >= 5_000
    assert verdict.resumes >= 100
    assert verdict.done["kill"] >= 3
    assert verdict.done["flush_redis"] >= 2


async def test_watches_survive_everything(tmp_path: Path) -> None:
    judge(await torture(tmp_path, SHORT_SECONDS))


@pytest.mark.torture
async def test_watches_survive_everything_for_long(tmp_path: Path) -> None:
    judge(await torture(tmp_path, float(os.environ.get("VWED_TORTURE_SECONDS", "600"))))
