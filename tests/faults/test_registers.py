"""No read is older than a write that was acknowledged before it began, whatever befalls Redis.

Clients read and write a few resources through two replicas; a judge compares all they saw. The long
form (`-m torture`, VWED_TORTURE_SECONDS) differs in nothing but its length.
"""

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from tests.faults import registers
from tests.faults.redis_log import RedisLog
from tests.faults.redis_trouble import KILLED, Life, Trouble
from tests.faults.register_clients import Clients, Door
from tests.support import register_checker
from tests.support.metrics_page import figures, free_address
from tests.support.proxy import Proxy
from tests.support.register_checker import Process
from tests.support.replicas import Replica, started
from tests.support.stores import Valkey, valkey_home
from vwed.client import connect

SHORT_READS = 20_000
HEALTHY_SECONDS = 8.0
READERS = 24


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where servers leave their logs, in a form that is read."""
    monkeypatch.setenv("VWED_LOG_JSON", "true")
    return tmp_path


@asynccontextmanager
async def stage(database_url: str, home: Path, tenant: str) -> AsyncIterator[Trouble]:
    async with AsyncExitStack() as stack:
        valkey = Valkey(stack.enter_context(valkey_home()))
        stack.callback(valkey.stop)
        await valkey.start()
        lives, doors = [], []
        for name in ("a", "b"):
            proxy = await stack.enter_async_context(Proxy(valkey.socket))
            redis_url, metrics = f"redis://127.0.0.1:{proxy.port}", free_address()
            log, options = home / f"{name}.log", ("--metrics-listen", metrics)
            server = Replica(database_url, redis_url, log, *options)
            lives.append(Life(name, server, proxy, metrics, [time.time()]))
        await stack.enter_async_context(started(*(life.replica for life in lives)))
        for life in lives:
            client = await stack.enter_async_context(
                connect(life.replica.target, tenant=tenant, bare=True)
            )
            doors.append(Door(client, life.process))
        clients = Clients(doors, await registers.create(doors[0].client))
        yield Trouble(lives, valkey, clients)


async def how_answered(lives: Sequence[Life]) -> Counter[str]:
    """Reads through the cache of both replicas, by how they were answered."""
    counted: Counter[str] = Counter()
    for life in lives:
        shown = await figures(life.metrics)
        for way in ("hits", "misses", "bypasses", "joined"):
            counted[way] += int(shown[f"vwed_cache_{way}_total"])
    return counted


async def torture(database_url: str, home: Path, tenant: str, seconds: float) -> None:
    async with stage(database_url, home, tenant) as trouble:
        clients, reads = trouble.clients, trouble.clients.journal.reads
        playing = asyncio.create_task(clients.play(READERS))
        began = time.time()
        await asyncio.sleep(HEALTHY_SECONDS)
        counted = await how_answered(trouble.lives)

        def enough() -> bool:
            played = len(reads) >= SHORT_READS and time.time() > began + seconds
            return played and trouble.done[KILLED] > 0

        await trouble.go_on(enough)
        clients.over.set()
        await playing
        took = time.time() - began
        logs = {life.name: RedisLog(life.replica.log, life.starts) for life in trouble.lives}
        faults = [fault for life in trouble.lives for fault in life.replica.faults()]

    def lost_touch(process: Process, began: float, ended: float) -> bool:
        return logs[process[0]].lost_touch(began, ended)

    findings = register_checker.check(clients.journal, lost_touch)
    ratio = counted["hits"] / counted.total()
    print(  # noqa: T201 - the counts are what one runs it for
        f"\n{len(reads):,} reads in {took:.0f} s, {findings.excused} stale as allowed;"
        f" {len(clients.journal.writes):,} writes, {findings.unanswered} known though unanswered;"
        f" hit ratio while Redis was well {ratio:.3f} of {dict(counted)}; {dict(trouble.done)}"
    )
    assert findings.violations == []
    assert clients.surprises == []
    assert faults == []
    assert counted.total() > 500
    assert ratio >= 0.8
    assert findings.unanswered >= 1


async def test_no_read_is_older_than_the_contract_allows(
    database_url: str, logged: Path, tenant: str
) -> None:
    await torture(database_url, logged, tenant, 0)


@pytest.mark.torture
async def test_no_read_is_older_than_the_contract_allows_for_long(
    database_url: str, logged: Path, tenant: str
) -> None:
    seconds = float(os.environ.get("VWED_TORTURE_SECONDS", "600"))
    await torture(database_url, logged, tenant, seconds)
