"""Everything at once: who works, who watches, what is done to them, and what the judge says."""

import asyncio
import os
import secrets
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Protocol

from tests.faults import (
    checker,
    executor_checker,
    executor_history,
    executor_processes,
    feed_checker,
    history,
    promises,
)
from tests.faults.checker import WatchLog
from tests.faults.executor_history import Histories
from tests.faults.executor_processes import ExecutorProcess
from tests.faults.feed_checker import FeedLog
from tests.faults.fleet import Fleet
from tests.faults.history import History
from tests.faults.operators import end_all, operator
from tests.faults.orders import Orders
from tests.faults.robots import robot
from tests.faults.verdict import Verdict
from tests.faults.watchers import feed_watcher, watcher
from tests.faults.weather import Weather
from tests.support.replicas import Replica
from tests.support.steps import sql
from tests.support.waiting import until_true

TENANT = "torture"
OPERATORS, WATCHERS = 3, 12
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
    """Replicas on one PostgreSQL and one Redis, and who works there."""

    replicas: Sequence[Replica]
    chaos: Faults
    fleet: Fleet
    database_url: str
    robots: int
    orders: Orders | None = None
    executors: Sequence[ExecutorProcess] = ()
    """Who carry out the orders."""
    events: int = 0
    """At least so many are to be written, however long a busy machine takes."""


@dataclass
class Play:
    watches: list[WatchLog] = field(default_factory=list)
    feeds: list[FeedLog] = field(default_factory=list)
    ended_within: float = 0.0
    """Seconds that executors took to end everything, once they were left in peace."""


async def play(scene: Stage, seconds: float) -> Play:
    """Clients work and watchers watch while chaos reigns; then everything comes to its end."""
    fleet, chaos, seen = scene.fleet, scene.chaos, Play()
    nothing_more = asyncio.Event()

    async def written() -> bool:
        count = "SELECT count(*) FROM task_record_events"
        return not scene.events or (await sql(scene.database_url, count))[0][0] >= scene.events

    observing = asyncio.create_task(chaos.weather.observe())
    async with asyncio.TaskGroup() as actors:
        for name, (blocks, full) in FEEDS.items():
            seen.feeds.append(FeedLog(f"feed {name}", blocks=blocks, full=full))
            actors.create_task(feed_watcher(fleet, seen.feeds[-1], nothing_more))
        workers = [
            *(actors.create_task(robot(fleet, f"robot-{n}")) for n in range(scene.robots)),
            *(actors.create_task(operator(fleet)) for _ in range(OPERATORS)),
        ]
        if scene.orders:
            workers.append(actors.create_task(scene.orders.go_on()))
        watching = [
            actors.create_task(
                watcher(fleet, f"watcher-{n}", seen.watches, brisk=n >= 3)  # some are slow
            )
            for n in range(WATCHERS)
        ]
        await chaos.until(time.monotonic() + seconds)
        await until_true(written, what=f"{scene.events} events", every=0.5)
        fleet.over.set()
        await asyncio.wait(workers)
        if scene.orders:
            seen.ended_within = await scene.orders.end()
            await asyncio.gather(*(process.stop() for process in scene.executors))
        await end_all(fleet)
        await asyncio.wait(watching)
        nothing_more.set()
    observing.cancel()
    return seen


async def torture(
    home: Path, seconds: float, stage: Callable[[Path, int], AbstractAsyncContextManager[Stage]]
) -> Verdict:
    seed = int(os.environ.get("VWED_TORTURE_SEED", secrets.randbelow(2**32)))
    times = [time.monotonic()]
    async with stage(home, seed) as scene:
        times.append(time.monotonic())
        seen = await play(scene, seconds)
        times.append(time.monotonic())
        table = await history.read(scene.database_url, TENANT)
        ordered = await scene.orders.every() if scene.orders else []
        driven = await executor_history.read(scene.fleet, ordered)
        verdict = judge(scene, seen, table, driven)
        verdict.seed, verdict.memory = seed, max(server.rss() for server in scene.replicas)
    verdict.seconds = [b - a for a, b in pairwise([*times, time.monotonic()])]
    return verdict


def judge(scene: Stage, seen: Play, table: History, driven: Histories) -> Verdict:
    """All promises, after all."""
    logged = [fault for server in scene.replicas for fault in server.faults()]
    logged += [fault for process in scene.executors for fault in process.faults()]
    verdict = Verdict(table, seen.watches, seen.feeds)
    verdict.done, verdict.told = scene.chaos.done, scene.fleet.told
    verdict.ended_within = seen.ended_within
    verdict.stories = executor_checker.stories(
        driven,
        executor_processes.drives(scene.executors),
        executor_processes.freezes(scene.executors),
    )
    weather = scene.chaos.weather
    for log in seen.watches:
        verdict.find(checker.check(log, table.get(log.run, []), weather))
    for feed in seen.feeds:
        verdict.find(feed_checker.check(feed, table, weather))
    verdict.find(promises.check(scene.fleet.told, table))
    verdict.find(executor_checker.check(verdict.stories))
    verdict.find({"sound processes": logged} if logged else {})
    return verdict
