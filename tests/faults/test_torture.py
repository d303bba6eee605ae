"""Everything at once, and what the contract promises holds, as etcd's robustness suite does it.

The long form (`-m torture`, VWED_TORTURE_SECONDS) differs in its length, and in how much of what
must have happened by then.
"""

import os
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from tests.faults.chaos import Chaos
from tests.faults.executor_processes import ExecutorProcess
from tests.faults.executor_processes import started as executing
from tests.faults.fleet import Fleet
from tests.faults.journaled_executors import ANY
from tests.faults.orders import Orders
from tests.faults.torture import TENANT, Stage, torture
from tests.faults.verdict import Verdict
from tests.faults.weather import Weather
from tests.support.proxy import Proxy
from tests.support.replicas import Replica, started
from tests.support.stores import Valkey, postgres, valkey_home
from vwed.client import connect

SHORT_SECONDS = 5.0
ROBOTS = 4
EXECUTORS = "abcd"
"""A process of five for each letter."""


@asynccontextmanager
async def stage(home: Path, seed: int) -> AsyncIterator[Stage]:
    """Two replicas, with a proxy on every way that may break."""
    async with AsyncExitStack() as stack:
        database_url = await stack.enter_async_context(postgres(home))
        valkey = Valkey(stack.enter_context(valkey_home()))
        stack.callback(valkey.stop)
        await valkey.start()

        async def proxy(host: str, port: int = 0) -> Proxy:
            return await stack.enter_async_context(Proxy(host, port))

        to_redis = [await proxy(valkey.socket) for _ in range(2)]
        replicas = [
            Replica(database_url, f"redis://127.0.0.1:{way.port}", home / f"replica-{name}.log")
            for name, way in zip("ab", to_redis, strict=True)
        ]
        to_clients = [await proxy("127.0.0.1", server.port) for server in replicas]
        to_executors = [await proxy("127.0.0.1", server.port) for server in replicas]
        one, other = (f"127.0.0.1:{way.port}" for way in to_executors)
        both = f"ipv4:{one},{other}"
        executors = [
            ExecutorProcess(name, target, TENANT, home)
            for name, target in zip(EXECUTORS, (both, both, one, other), strict=True)
        ]
        await stack.enter_async_context(started(*replicas))
        await stack.enter_async_context(executing(*executors))
        clients = [
            await stack.enter_async_context(
                connect(target, tenant=TENANT, actor="torture", bare=True)
            )
            for server, front in zip(replicas, to_clients, strict=True)
            for target in (server.target, f"127.0.0.1:{front.port}")
        ]
        fleet = Fleet(clients, seed)
        await fleet.define()
        orders = Orders(fleet, {ANY: 4} | {f"{name}-0": 1 for name in EXECUTORS})
        await orders.define()
        chaos = Chaos(
            replicas=replicas,
            executors=executors,
            valkey=valkey,
            to_redis=to_redis,
            to_clients=to_clients,
            to_executors=to_executors,
            database_url=database_url,
            weather=Weather(),
            random=random.Random(seed + 1),
        )
        yield Stage(replicas, chaos, fleet, database_url, ROBOTS, orders, executors)


def judge(verdict: Verdict) -> None:
    print(verdict)  # noqa: T201 - the counts are what one runs it for
    assert verdict.violations == {}
    assert verdict.events >= 2_000
    assert verdict.resumes >= 100
    for fault in ("kill", "stop", "flush_redis", "kill_executors", "freeze_executors"):
        assert verdict.done[fault], fault


async def test_nothing_breaks_a_promise(tmp_path: Path) -> None:
    judge(await torture(tmp_path, SHORT_SECONDS, stage))


@pytest.mark.torture
async def test_nothing_breaks_a_promise_for_long(tmp_path: Path) -> None:
    seconds = float(os.environ.get("VWED_TORTURE_SECONDS", "600"))
    verdict = await torture(tmp_path, seconds, stage)
    judge(verdict)
    stops = (f"stopped by {reason}" for reason in ("CANCELED", "LEASE_LOST", "RELEASED"))
    for what in ("taken back", "taken up again", "killed", "paused", "signals heard", *stops):
        assert verdict.driven[what], what
