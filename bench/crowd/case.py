"""How long tenant A waits beside the crowd of B, and how long beside its reporters alone."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
from typing import Any

import sqlalchemy as sa

from bench.crowd.companion import Companion, companion
from bench.crowd.parts import PARTS
from bench.crowd.tenants import LISTED, PREFIX, RUNS, B
from bench.holds import Holds, holds
from bench.measure import Result, Sample, Stopwatch
from bench.seed import Seed, fill_finished
from bench.stand import Server, Stand
from vwed.client import connect

OPENING_SECONDS, SETTLING_SECONDS = 5.0, 2.0
"""Until all of the crowd is under way; until nothing is left of it."""
MOST = {"p50": 2.0, "p99": 3.0}
"""Times what it is beside B's reporters alone."""
MOST_LAG_MS = 25.0
MOST_MIB = 512.0
_PROBE_NICE, _CROWD_NICE = -10, 10


@dataclass
class Round:
    """B's reporters alone, then all of the crowd."""

    server: Sample
    """While the crowd was there."""
    lag: Holds
    rss: float
    crowd: Mapping[str, Mapping[str, float]]
    """By kind of call: how many were answered, were refused, …."""


def crowd(stand: Stand, engine: sa.Engine, rounds: int, seconds: float) -> Iterator[Result]:
    fill_finished(engine, B, LISTED)
    with companion(_PROBE_NICE, "bench.crowd.probe", stand.server.target) as probe:
        done = [one_round(stand.server, probe, seconds) for _ in range(rounds)]
        probe.tell("end")
        told = probe.end()
    by_name = {
        name: [m for m in told["measured"] if m["name"] == name] for name in ("alone", "crowd")
    }
    for kind in ("heartbeats", "reports"):
        alone, beside = ([m[kind] for m in by_name[name]] for name in ("alone", "crowd"))
        yield _waits(kind, alone, beside, seconds, told["lost"])
    yield _itself(done)


async def prepare(target: str, *tenants: str) -> None:
    """The runs of each."""
    for tenant in tenants:
        async with connect(target, tenant=tenant, bare=True) as client:
            seed = Seed(client)
            await seed.basics()
            await seed.runs(PREFIX, RUNS)


def one_round(
    server: Server, probe: Companion, seconds: float, parts: Sequence[str] = tuple(PARTS)
) -> Round:
    with ExitStack() as stack:
        reporters = stack.enter_context(_part(server, ["reporters"]))
        probe.tell("beginning")
        time.sleep(1)
        probe.tell("alone")
        time.sleep(seconds)
        probe.tell("opening")
        others = stack.enter_context(_part(server, [p for p in parts if p != "reporters"]))
        time.sleep(OPENING_SECONDS)
        probe.tell("crowd")
        lag, watch, rss = holds(server.metrics), Stopwatch(server), 0.0
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            time.sleep(0.25)
            rss = max(rss, server.process.rss())
        probe.tell("closing")
        sample, lag = watch.stop(0), holds(server.metrics).since(lag)
        counts = {**reporters.end(), **others.end()}
    time.sleep(SETTLING_SECONDS)
    return Round(sample, lag, rss, counts)


def _part(server: Server, parts: Sequence[str]) -> Any:
    return companion(_CROWD_NICE, "bench.crowd.load", server.target, "1", "0", *parts)


def _waits(
    kind: str,
    alone: Sequence[Mapping[str, float]],
    beside: Sequence[Mapping[str, float]],
    seconds: float,
    lost: int,
) -> Result:
    figures = {f"p{p}_ms": median(b[f"p{p}_ms"] for b in beside) for p in (50, 99)}
    figures |= {f"alone_p{p}_ms": median(a[f"p{p}_ms"] for a in alone) for p in (50, 99)}
    ratios = {
        p: median(b[f"{p}_ms"] / a[f"{p}_ms"] for a, b in zip(alone, beside, strict=True))
        for p in MOST
    }
    figures |= {f"of_alone_{p}": ratio for p, ratio in ratios.items()}
    failed = sum(b["failed"] for b in beside)
    return Result(
        f"crowd: {kind} of another tenant",
        "calls",
        ", ".join(f"{p} <= {most:g}" for p, most in MOST.items()) + " of alone, no lease lost",
        rate=median(b["calls"] for b in beside) / seconds,
        rounds=len(beside),
        met=not (lost or failed) and all(ratios[p] <= most for p, most in MOST.items()),
        figures=figures | {"failed": failed, "leases_lost": lost},
    )


def _itself(rounds: Sequence[Round]) -> Result:
    first = rounds[0]
    lag = max(r.lag.share(0.99) for r in rounds)
    rss = max(r.rss for r in rounds)
    return Result(
        "crowd: the server meanwhile",
        "",
        f"lag p99 <= {MOST_LAG_MS:g} ms, <= {MOST_MIB:g} MiB",
        server_busy=median(r.server.server_cpu / r.server.seconds for r in rounds),
        rounds=len(rounds),
        met=lag <= MOST_LAG_MS and rss <= MOST_MIB,
        figures={
            "lag_p99_ms": lag,
            "longest_hold_ms": max(r.lag.share(1) for r in rounds),
            "rss_MiB": rss,
            **{
                f"{kind}{'' if what == 'answered' else f' {what}'}": sum(
                    r.crowd[kind][what] for r in rounds
                )
                for kind in first.crowd
                for what in ("answered", "refused", "messages")
                if any(r.crowd[kind][what] for r in rounds)
            },
        },
    )
