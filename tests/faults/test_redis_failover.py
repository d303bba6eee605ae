"""A primary of Redis dies under load, a replica takes over: reads and watches keep their promises.

The long form (`-m torture`, VWED_TORTURE_SECONDS) differs in nothing but its length.
"""

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.faults import registers
from tests.faults.fleet import Fleet
from tests.faults.redis_log import RedisLog
from tests.faults.register_clients import Clients, Door
from tests.faults.torture import TENANT, Stage, torture
from tests.faults.weather import Weather
from tests.support import register_checker
from tests.support.redis_servers import Redundant, cluster_of_three, sentinel_set
from tests.support.register_checker import Process
from tests.support.replicas import Replica, started
from tests.support.stores import postgres
from tests.support.waiting import until_true
from vwed.client import connect

SHORT_SECONDS = 4.0
READERS, ENOUGH = 24, 1_000
ROBOTS = 10
ENOUGH_BLOCKS = 500
LAG = 1.0
"""Seconds by which a replica may be behind."""

Start = Callable[[], AbstractAsyncContextManager[Redundant]]
BOTH = pytest.mark.parametrize("start", [sentinel_set, cluster_of_three])


def long_seconds() -> float:
    return float(os.environ.get("VWED_TORTURE_SECONDS", "600"))


@dataclass
class Failovers:
    """One after the other; and when, for the judge."""

    redis: Redundant
    weather: Weather = field(default_factory=Weather)
    done: Counter[str] = field(default_factory=Counter)
    spans: list[tuple[float, float]] = field(default_factory=list)
    enough: Callable[[], bool] = lambda: True
    """Whether clients have done as much as is to be judged."""

    async def until(self, end: float) -> None:
        """Goes on until `end` (monotonic seconds), and at least once."""
        while not self.done["kill"] or time.monotonic() < end - 5:
            await asyncio.sleep(random.uniform(1, 3))
            for fault in (self.kill, self.freeze):
                if not self.done["kill"] or time.monotonic() < end - 5:
                    await fault()
                    self.done[fault.__name__] += 1
        await asyncio.sleep(max(end - time.monotonic(), 0))
        await until_true(self.enough, what="enough work")

    async def kill(self) -> None:
        primary = await self.redis.primary()
        began = time.time()
        primary.kill()
        await self.redis.follows(primary)
        self.weather.redis_away.append((began, time.time()))
        self.spans.append((began, time.time()))
        await primary.start()
        if self.done["kill"]:
            await self.redis.recover()

    async def freeze(self) -> None:
        primary = await self.redis.primary()
        began = time.time()
        primary.send(signal.SIGSTOP)
        try:
            await self.redis.follows(primary)
        finally:
            primary.send(signal.SIGCONT)
        self.spans.append((began, time.time()))
        await self.redis.recover()

    def may_have_lost(self, began: float, ended: float) -> bool:
        """Whether a deletion that was carried out between the two may be unknown to who took over.

        Those that come back to their old primary learn within moments that it is none any more.
        """
        return any(began < over + LAG and ended > since - LAG for since, over in self.spans)


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where servers leave their logs, in a form that is read."""
    monkeypatch.setenv("VWED_LOG_JSON", "true")
    return tmp_path


async def read_and_write(
    start: Start, database_url: str, home: Path, tenant: str, seconds: float
) -> None:
    async with AsyncExitStack() as stack:
        failovers = Failovers(await stack.enter_async_context(start()))
        servers = {
            name: Replica(database_url, failovers.redis.url, home / f"{name}.log")
            for name in ("a", "b")
        }
        since = time.time()
        await stack.enter_async_context(started(*servers.values()))
        doors = []
        for name, server in servers.items():
            client = await stack.enter_async_context(
                connect(server.target, tenant=tenant, bare=True)
            )

            def process(name: str = name) -> Process:
                return name, 1

            doors.append(Door(client, process))
        clients = Clients(doors, await registers.create(doors[0].client))
        playing = asyncio.create_task(clients.play(READERS))
        await failovers.until(time.monotonic() + seconds)
        over = time.time()

        def logs() -> dict[str, RedisLog]:
            return {name: RedisLog(one.log, [since]) for name, one in servers.items()}

        def in_use() -> bool:
            now = time.time()
            return not any(log.lost_touch(now, now) for log in logs().values())

        await until_true(in_use, what="that it is in use again")
        back = time.time() - over
        await until_true(lambda: len(clients.journal.reads) > ENOUGH, what="enough reads")
        clients.over.set()
        await playing
        logged = logs()
        faults = [fault for server in servers.values() for fault in server.faults()]

    def lost_touch(process: Process, began: float, ended: float) -> bool:
        return logged[process[0]].lost_touch(began, ended) or failovers.may_have_lost(began, ended)

    findings = register_checker.check(clients.journal, lost_touch)
    print(  # noqa: T201 - the counts are what one runs it for
        f"\n{len(clients.journal.reads):,} reads, {findings.excused} stale as allowed,"
        f" {len(clients.journal.writes):,} writes; {dict(failovers.done)} in"
        f" {[round(b - a, 1) for a, b in failovers.spans]} s; in use {back:.1f} s after all"
    )
    assert findings.violations == []
    assert clients.surprises == []
    assert faults == []


@BOTH
async def test_no_read_is_older_than_the_contract_allows(
    start: Start, database_url: str, logged: Path, tenant: str
) -> None:
    await read_and_write(start, database_url, logged, tenant, SHORT_SECONDS)


@pytest.mark.torture
@BOTH
async def test_no_read_is_older_than_the_contract_allows_for_long(
    start: Start, database_url: str, logged: Path, tenant: str
) -> None:
    await read_and_write(start, database_url, logged, tenant, long_seconds())


async def watch(start: Start, home: Path, seconds: float) -> None:
    @asynccontextmanager
    async def stage(home: Path, seed: int) -> AsyncIterator[Stage]:
        async with AsyncExitStack() as stack:
            database_url = await stack.enter_async_context(postgres(home))
            failovers = Failovers(await stack.enter_async_context(start()))
            servers = [
                Replica(database_url, failovers.redis.url, home / f"replica-{name}.log")
                for name in ("a", "b")
            ]
            await stack.enter_async_context(started(*servers))
            clients = [
                await stack.enter_async_context(
                    connect(server.target, tenant=TENANT, actor="torture", bare=True)
                )
                for server in servers
            ]
            fleet = Fleet(clients, seed)
            await fleet.define()
            failovers.enough = lambda: len(fleet.told.blocks) >= ENOUGH_BLOCKS
            yield Stage(servers, failovers, fleet, database_url, ROBOTS)

    verdict = await torture(home, seconds, stage)
    print(verdict)  # noqa: T201 - the counts are what one runs it for
    assert verdict.violations == {}
    assert verdict.events >= ENOUGH_BLOCKS
    assert verdict.done["kill"] >= 1


async def test_watches_survive_it(tmp_path: Path) -> None:
    await watch(cluster_of_three, tmp_path, SHORT_SECONDS)


@pytest.mark.torture
@BOTH
async def test_watches_survive_it_for_long(start: Start, tmp_path: Path) -> None:
    await watch(start, tmp_path, long_seconds())
