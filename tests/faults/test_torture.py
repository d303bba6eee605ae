"""Everything at once, and what the contract promises holds, as etcd's robustness suite does it.

The long form (`-m torture`, VWED_TORTURE_SECONDS) differs in its length, and in how much of what
must have happened by then.
"""

import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.faults.breakable import breakable
from tests.faults.chaos import Chaos
from tests.faults.journaled_executors import ANY
from tests.faults.orders import Orders
from tests.faults.torture import Stage, torture
from tests.faults.verdict import Verdict

SHORT_SECONDS = 5.0
ENOUGH_EVENTS = 2_000
"""Or it was no load."""
ROBOTS = 4
EXECUTORS = "abcd"
"""A process of five for each letter."""


@asynccontextmanager
async def stage(home: Path, seed: int) -> AsyncIterator[Stage]:
    """Two replicas; half of the executors know one of them alone."""
    executors = dict(zip(EXECUTORS, ([0, 1], [0, 1], [0], [1]), strict=True))
    async with breakable(home, seed, options=[[], []], executors=executors) as here:
        orders = Orders(here.fleet, {ANY: 4} | {f"{name}-0": 1 for name in EXECUTORS})
        await orders.define()
        chaos = Chaos(on=here, random=random.Random(seed + 1))
        yield Stage(
            here.replicas,
            chaos,
            here.fleet,
            here.database_url,
            ROBOTS,
            orders,
            here.executors,
            events=ENOUGH_EVENTS,
        )


def judge(verdict: Verdict) -> None:
    print(verdict)  # noqa: T201 - the counts are what one runs it for
    assert verdict.violations == {}
    assert verdict.events >= ENOUGH_EVENTS
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
