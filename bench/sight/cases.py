"""The same cached Get of servers that differ in nothing but whether they count and trace it."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median

from bench.measure import Result, Sample, Shape, repeated
from bench.process import SERVER_CORE
from bench.reads import GETS
from bench.stand import Server, Stand
from bench.trial import answer_to

SHAPE = Shape(callers=128)
_BLIND = "neither counted nor traced"


@dataclass(frozen=True)
class Way:
    """How a server is watched, and what of the CPU of one that is not it may take."""

    name: str
    most: float | None
    shows: bool
    settings: Mapping[str, str]


WAYS = (
    Way("counted (metrics)", 1.03, shows=True, settings={}),
    Way("1 % traced", 1.03, shows=False, settings={"VWED_TRACE_SHARE": "0.01"}),
    Way("all traced", None, shows=False, settings={"VWED_TRACE_SHARE": "1"}),
)


def sight(stand: Stand, rounds: int, seconds: float) -> Iterator[Result]:
    case = GETS[1]
    command = (sys.executable, "-m", "bench.sight.server")
    with ExitStack() as stack:

        def server(name: str, *, shows: bool, settings: Mapping[str, str]) -> Server:
            return stack.enter_context(
                stand.another(name, (SERVER_CORE,), command=command, shows=shows, **settings)
            )

        blind = server("blind", shows=False, settings={})
        watched = [server(way.name, shows=way.shows, settings=way.settings) for way in WAYS]
        size = len(answer_to(blind.target, case.path, case.body))

        def run(server: Server) -> Sample:
            return repeated(server, case.path, case.body, SHAPE, seconds, answer_bytes=size)

        found: list[list[tuple[Sample, Sample]]] = [[] for _ in WAYS]
        for n in range(2 * rounds):
            for of_way, seen in zip(found, watched, strict=True):
                # Each goes first as often as the other: what went before warms the caches.
                pair = (run(seen), run(blind))[::-1] if n % 2 else (run(blind), run(seen))
                of_way.append(pair)
    for way, pairs in zip(WAYS, found, strict=True):
        yield _result(f"{case.case}, {way.name}", way.most, pairs)


def _result(case: str, most: float | None, pairs: list[tuple[Sample, Sample]]) -> Result:
    ratios = [_cost(seen) / _cost(blind) for blind, seen in pairs]
    ratio = median(ratios)
    return Result(
        case,
        "calls",
        f"CPU <= {most} of {_BLIND}" if most else "none: what it costs",
        rate=median(seen.rate for _, seen in pairs),
        cpu_us=median(_cost(seen) for _, seen in pairs) * 1e6,
        rounds=len(pairs),
        others=max(seen.others_cpu / seen.seconds for _, seen in pairs),
        met=None if most is None else ratio <= most,
        figures={
            "of_the_CPU": ratio,
            "cpu_us_without": median(_cost(blind) for blind, _ in pairs) * 1e6,
            "lowest": min(ratios),
            "highest": max(ratios),
        },
    )


def _cost(sample: Sample) -> float:
    return sample.server_cpu / sample.count
