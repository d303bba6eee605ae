"""Half an hour of an everyday load, with something that goes wrong now and then: what grows, what
callers are told, and whether every promise is kept although retention removes what was.
"""

import asyncio
import json
import os
import random
import secrets
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench.crowd.tenants import B
from tests.faults import errors_met, executor_history, growth, leftovers
from tests.faults.archive import Archive
from tests.faults.breakable import breakable
from tests.faults.crowd_process import CrowdProcess, crowd
from tests.faults.gauges import RULES, Gauges
from tests.faults.journaled_executors import ANY
from tests.faults.mishaps import Mishaps
from tests.faults.orders import Orders
from tests.faults.torture import TENANT, Stage, judge, play
from tests.faults.verdict import Verdict
from tests.support.metrics_page import free_address
from tests.support.steps import sql
from tests.support.stores import postmaster_of
from vwed.client import connect

RUNS_KEPT, EVENTS_KEPT, REQUEST_IDS_KEPT = 60, 120, 120
"""Seconds. Request ids are kept for a day; here they are made older."""
ROBOTS, PAUSE = 4, 0.5
EXECUTORS = "ab"
LOOK_SECONDS = 1.0
FAULTS = 15
"""The time divided by this is the pause between two mishaps: two minutes of half an hour. First
each of them happens once, with a fifth of that pause."""


@dataclass
class Site:
    """The stage, and what a soak has besides."""

    stage: Stage
    mishaps: Mishaps
    archive: Archive
    gauges: Gauges
    crowd: CrowdProcess


@dataclass
class Soaked:
    verdict: Verdict
    page: str
    """What grew and what callers were told, as Markdown."""
    crowd: CrowdProcess


@asynccontextmanager
async def site(home: Path, seed: int, seconds: float) -> AsyncIterator[Site]:
    """A server alone, which the crowd calls, and one of two workers."""
    pages = [free_address() for _ in "12"]
    options = [
        ("--metrics-listen", page, "--workers", workers)
        for page, workers in zip(pages, "12", strict=True)
    ]
    executors = dict.fromkeys(EXECUTORS, range(2))
    async with breakable(home, seed, options=options, executors=executors) as here:
        alone, shared = here.replicas
        here.fleet.pause = PAUSE
        waiting = {ANY: 2} | {f"{name}-0": 1 for name in EXECUTORS}
        orders = Orders(here.fleet, waiting, LOOK_SECONDS)
        await orders.define()
        postmaster = postmaster_of(home)
        gauges = Gauges(
            alone=alone.pid,
            parent=shared.pid,
            postmaster=postmaster,
            pages=pages,
            database_url=here.database_url,
            redis_socket=here.valkey.socket,
        )
        async with crowd(alone.target, home / "crowd.log") as callers:
            mishaps = Mishaps(
                on=here,
                random=random.Random(seed + 1),
                postmaster=postmaster,
                parent=shared.pid,
                crowd=callers,
                pause=seconds / FAULTS,
            )
            yield Site(
                Stage(
                    here.replicas,
                    mishaps,
                    here.fleet,
                    here.database_url,
                    ROBOTS,
                    orders,
                    here.executors,
                ),
                mishaps,
                Archive(here.database_url, TENANT, frozenset(waiting)),
                gauges,
                callers,
            )


async def soak(home: Path, seconds: float) -> Soaked:
    """VWED_RETENTION must be as `retention` says before."""
    seed = int(os.environ.get("VWED_TORTURE_SEED", secrets.randbelow(2**32)))
    times = [time.monotonic()]
    async with site(home, seed, seconds) as here:
        stage, database_url = here.stage, here.stage.database_url
        times.append(time.monotonic())
        here.crowd.start()
        async with beside(here.archive.go_on(), here.gauges.go_on(), age_request_ids(database_url)):
            seen = await play(stage, seconds)
        times.append(time.monotonic())
        await here.crowd.stop()
        async with connect(stage.replicas[0].target, tenant=B, bare=True) as client:
            await leftovers.cancel_all(client)
        await here.archive.read()
        driven = {run: [*executor_history.events(told)] for run, told in here.archive.told.items()}
        verdict = judge(stage, seen, here.archive.table, driven)
        verdict.seed, verdict.memory = seed, max(server.rss() for server in stage.replicas)
        grown = [*growth.growths(here.gauges.samples, seconds, RULES)]
        met = [*stage.fleet.met, *here.gauges.met]
        found = {
            "no growth": [str(one) for one in grown if one.too_much],
            "expected errors": [*errors_met.unexpected(met, here.mishaps.times)],
            "counts in events": here.archive.miscounted,
            "nothing under way": await leftovers.busy(here.gauges.pages),
            "rows that agree": await leftovers.wrong(database_url),
            "nothing left": await leftovers.left_a_day_later(database_url),
        }
        verdict.find({name: bad for name, bad in found.items() if bad})
    verdict.seconds = [b - a for a, b in pairwise([*times, time.monotonic()])]
    page = f"{growth.table(grown, seconds)}\n\n{errors_met.table(met, here.mishaps.times)}"
    return Soaked(verdict, page, here.crowd)


def retention() -> str:
    """The setting."""
    days = {"runs_days": RUNS_KEPT / 86_400, "events_days": EVENTS_KEPT / 86_400}
    return json.dumps({"*": days})


@asynccontextmanager
async def beside(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Work that goes on while entered. What fails of it fails at the end."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.result()


async def age_request_ids(database_url: str) -> None:
    """A day passes for them in a while, so that they come and go as all else does."""
    while True:
        with suppress(Exception):
            await sql(
                database_url,
                "UPDATE idempotency_keys SET expire_time = clock_timestamp()"
                " WHERE expire_time > clock_timestamp() AND expire_time"
                " < clock_timestamp() + interval '1 day' - make_interval(secs => :kept)"
                " RETURNING request_id",
                kept=REQUEST_IDS_KEPT,
            )
        await asyncio.sleep(10)
