"""One case beside the floor, round by round, and what is made of the rounds."""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from statistics import median
from typing import Any

from bench import h2load
from bench.load import closed_loop
from bench.process import SERVER_CORE, core_busy
from bench.stand import Server

MOST_OTHERS = 0.1
"""If others had more than this of the server's core, the table says so: rates are too low then."""
MOST_LOAD = 0.8
"""A load generator that is busier than this measures itself: the round is void."""


@dataclass(slots=True)
class Sample:
    """What one round of one load came to."""

    count: int
    seconds: float
    server_cpu: float
    load_cpu: float
    others_cpu: float = 0.0
    """What others took of the server's core meanwhile."""
    figures: dict[str, float] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        return self.count / self.seconds

    @property
    def void(self) -> bool:
        return self.load_cpu / self.seconds > MOST_LOAD


class Stopwatch:
    """Wall clock and CPU from its making on: the server's, our own, and what others took."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._began = self._now()

    def stop(self, count: int, load_cpu: float | None = None) -> Sample:
        """`load_cpu` is given if the load is not this very process."""
        wall, server, core, own = (
            now - then for now, then in zip(self._now(), self._began, strict=True)
        )
        load = own if load_cpu is None else load_cpu
        return Sample(count, wall, server, load, max(0.0, core - server))

    def _now(self) -> tuple[float, float, float, float]:
        return (
            time.perf_counter(),
            self._server.process.cpu(),
            core_busy(SERVER_CORE),
            time.process_time(),
        )


@dataclass(frozen=True, slots=True)
class Shape:
    """How many call at once, on how many connections."""

    callers: int = 64
    connections: int = 8


_rates: dict[tuple[str, str, bytes, Shape], float] = {}
"""Calls a second, of the last time: how many are to be made in so many seconds."""


def repeated(
    server: Server,
    path: str,
    body: bytes,
    shape: Shape,
    seconds: float,
    *,
    answer_bytes: int | None = None,
    metadata: dict[str, str] | None = None,
    calls: int = 0,
) -> Sample:
    """The same request again and again; every answer must have had its message.

    Without h2load our own client does it.

    Args:
        answer_bytes: of each answer; None: they differ, and only their being there is checked.
        calls: how many; 0: as many as took `seconds` the last time, or in a short trial.

    Raises RuntimeError if answers were errors.
    """
    if not h2load.available():
        return various(server, path, _again(body), shape, seconds, metadata=metadata, limit=calls)

    def run(n: int) -> h2load.Run:
        done = h2load.run(
            server.target,
            path,
            body,
            calls=n,
            callers=shape.callers,
            connections=shape.connections,
            metadata=metadata,
        )
        least = n * (5 + (1 if answer_bytes is None else answer_bytes))
        if done.data_bytes < least or (answer_bytes is not None and done.data_bytes > least):
            raise RuntimeError(f"{path}: {n} answers had {done.data_bytes} bytes, not {least}")
        return done

    request = (server.target, path, body, shape)
    if not calls and request not in _rates:
        trial = run(shape.callers * 8)  # it also warms up
        _rates[request] = trial.calls / trial.seconds
    calls = calls or max(shape.callers, int(_rates[request] * seconds))
    watch = Stopwatch(server)
    done = run(calls)
    _rates[request] = done.calls / done.seconds
    sample = watch.stop(calls, done.cpu)
    sample.seconds = done.seconds  # without the start of h2load
    return sample


def various(
    server: Server,
    path: str,
    bodies: Iterator[bytes],
    shape: Shape,
    seconds: float,
    *,
    metadata: dict[str, str] | None = None,
    limit: int = 0,
) -> Sample:
    """Requests that differ, by our own client. Raises RuntimeError if answers were errors."""
    if not limit:
        closed_loop(
            server.target,
            path,
            bodies,
            callers=shape.callers,
            connections=shape.connections,
            seconds=min(0.5, seconds / 4),
            metadata=metadata,
        )
    else:
        bodies, seconds = islice(bodies, limit), 60.0
    watch = Stopwatch(server)
    tally, _ = closed_loop(
        server.target,
        path,
        bodies,
        callers=shape.callers,
        connections=shape.connections,
        seconds=seconds,
        metadata=metadata,
    )
    sample = watch.stop(tally.calls)
    if tally.failed:
        raise RuntimeError(f"{path}: {tally.failed} of {tally.calls} calls failed")
    sample.figures = {"p50_ms": tally.quantile(0.5) * 1e3, "p99_ms": tally.quantile(0.99) * 1e3}
    return sample


def _again(body: bytes) -> Iterator[bytes]:
    while True:
        yield body


@dataclass
class Result:
    """A line of the table."""

    case: str
    unit: str
    target: str
    rate: float = 0.0
    cpu_us: float = 0.0
    """Of the server, for one of `unit`."""
    floor_rate: float = 0.0
    floor_cpu_us: float = 0.0
    ratio: float = 0.0
    server_busy: float = 0.0
    load_busy: float = 0.0
    others: float = 0.0
    """Share of the server's core that others had."""
    rounds: int = 0
    void: int = 0
    met: bool | None = None
    """None: there is no target, or nothing was measured."""
    figures: dict[str, float] = field(default_factory=dict)
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


Round = Callable[[], Sample]


def compare(
    case: str, unit: str, least: float, rounds: int, run: Round, floor: Round, factor: float = 1.0
) -> Result:
    """Runs both alternately; `least` is the ratio to the floor's rate that the case must reach.

    `factor` counts what one of the case's calls carries, in units.
    """
    target = f">= {least:.2f} of the floor"
    pairs = []
    void = 0
    for _ in range(rounds):
        base, own = floor(), run()
        own.count = round(own.count * factor)
        if base.void or own.void:
            void += 1
        else:
            pairs.append((base, own))
    if not pairs:
        return Result(case, unit, target, void=void, note="the load generator was too busy: void")
    result = summed_up(case, unit, target, [own for _, own in pairs])
    result.void = void
    result.floor_rate = median(base.rate for base, _ in pairs)
    result.floor_cpu_us = median(base.server_cpu / base.count for base, _ in pairs) * 1e6
    result.ratio = median(own.rate / base.rate for base, own in pairs)
    result.met = result.ratio >= least
    return result


def summed_up(case: str, unit: str, target: str, samples: list[Sample]) -> Result:
    """The medians of the rounds."""
    names = samples[0].figures
    others = max(s.others_cpu / s.seconds for s in samples)
    note = f"disturbed: others had {others:.0%} of the core" if others > MOST_OTHERS else ""
    return Result(
        case,
        unit,
        target,
        rate=median(s.rate for s in samples),
        cpu_us=median(s.server_cpu / max(s.count, 1) for s in samples) * 1e6,
        server_busy=median(s.server_cpu / s.seconds for s in samples),
        load_busy=median(s.load_cpu / s.seconds for s in samples),
        others=others,
        rounds=len(samples),
        note=note,
        figures={name: median(s.figures[name] for s in samples) for name in names},
    )
