"""`python -m bench`: every case beside its floor, as a table, as JSON and as a plot."""

import argparse
import asyncio
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
from sqlalchemy.exc import DBAPIError

from bench import h2load, holds, memory, reads, seed, table, watches, workers, writes
from bench.crowd.case import crowd, prepare
from bench.measure import Result
from bench.plot import draw
from bench.process import ROOT, end_with_sigterm
from bench.stand import Stand, stand
from vwed_grpc.client import connect
from vwed_grpc.storage.database import sync_engine

RESULTS = ROOT / "bench" / "results.json"
PAGE, PLOT = ROOT / "docs" / "performance.md", ROOT / "docs" / "performance.svg"

Cases = Callable[[], Iterator[Result]]


async def main() -> None:
    given = _arguments()
    if (os.cpu_count() or 1) < 2:
        sys.exit("the bench needs two cores: one for the server, one for everything else")
    if not h2load.available():
        print(f"no h2load: our own client takes its place. {h2load.HOW_TO_INSTALL}")
    end_with_sigterm()
    results: list[Result] = []
    held: dict[str, holds.Holds] = {}
    async with stand(os.environ.get("VWED_BENCH_DATABASE_URL")) as s:
        cases = await _cases(s, given)
        for name, run in cases.items():
            if given.only and name not in given.only:
                continue
            before = holds.holds(s.server.metrics)
            for result in _whatever_comes(name, run):
                results.append(result)
                print(table.markdown([result]).splitlines()[-1], flush=True)
            held[name] = holds.holds(s.server.metrics).since(before)
        sizes = {} if given.only and "memory" not in given.only else await _memory(s, given)
    held.pop("workers", None)  # they are other servers
    print("\n" + table.markdown(results))
    print("\n" + holds.markdown(held) + "\n")
    lines = [f"- {what}: {size:,.0f} MiB" for what, size in sizes.items()]
    print("\n".join(lines))
    if given.only:
        return
    longest = {name: found.share(1) for name, found in held.items()}
    more = {"resident_mib": sizes, "longest_hold_within_ms": longest}
    table.write_json(Path(given.json), results, more)
    if not given.dry:
        table.fill(PAGE, "table", table.markdown(results))
        table.fill(PAGE, "holds", holds.markdown(held))
        table.fill(PAGE, "memory", "\n".join(lines))
        draw(PLOT, results)


def _whatever_comes(name: str, run: Cases) -> Iterator[Result]:
    """The results; a failure is one too, and ends its group, not the bench."""
    try:
        yield from run()
    except (RuntimeError, OSError, LookupError, grpc.RpcError, DBAPIError) as failure:
        traceback.print_exc()
        yield Result(name, "", "", met=False, note=f"failed: {type(failure).__name__}")


async def _cases(s: Stand, given: argparse.Namespace) -> dict[str, Cases]:
    """By name, in the order in which they run."""
    rounds, seconds = given.rounds, given.seconds
    async with connect(s.server.target) as client:
        seeded = seed.Seed(client)
        await seeded.basics()
        runs = await seeded.runs("bench", 200)
        watched = iter(await seeded.runs("watched", 6 + 4 * rounds))
    await prepare(s.server)
    engine = sync_engine(s.database_url)

    def lists() -> Iterator[Result]:
        seed.fill_finished(engine, seed.MILLION, given.runs)
        yield from reads.lists(s, rounds, seconds)

    def writing() -> Iterator[Result]:
        yield writes.sets(s, runs, rounds, seconds)
        yield writes.reports(s, runs, rounds, seconds)
        yield writes.streams(s, runs[:8], rounds, seconds)
        yield writes.claims(s, engine, rounds, seconds)

    def watching() -> Iterator[Result]:
        yield watches.latency(s, watched, 1, rounds, seconds)
        yield watches.latency(s, watched, 100, rounds, seconds)
        yield watches.fan_out(s, watched, 1, rounds, seconds)
        yield watches.fan_out(s, watched, 50, rounds, seconds)

    def working() -> Iterator[Result]:
        yield from workers.two_workers(s, rounds, seconds)

    return {
        "gets": lambda: reads.gets(s, rounds, seconds),
        # Before the writes: a disk that still has those to do makes every commit wait.
        "watches": watching,
        "writes": writing,
        "workers": working,
        "lists": lists,
        "crowd": lambda: crowd(s, engine, rounds, given.crowd_seconds),
    }


async def _memory(s: Stand, given: argparse.Namespace) -> dict[str, float]:
    async with connect(s.server.target) as client:
        runs = await seed.Seed(client).runs("memory", 10)
    return memory.resident(s, runs, given.reports)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each load in a round")
    parser.add_argument("--crowd-seconds", type=float, default=15.0, help="the same of the crowd")
    parser.add_argument("--runs", type=int, default=1_000_000, help="that lists have to page")
    parser.add_argument("--reports", type=int, default=1_000_000, help="before memory is read")
    parser.add_argument("--json", default=str(RESULTS))
    parser.add_argument("--dry", action="store_true", help="leave docs/ alone")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=["gets", "writes", "watches", "workers", "lists", "crowd", "memory"],
        help="these alone; nothing is written",
    )
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(main())
