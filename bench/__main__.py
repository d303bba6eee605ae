"""`python -m bench`: every case beside its floor, as a table, as JSON and as a plot."""

import argparse
import asyncio
import os
import sys
from pathlib import Path

from bench import h2load, holds, memory, seed, table
from bench.cases import GROUPS, Effort, cases, whatever_comes
from bench.measure import Result
from bench.plot import draw
from bench.process import ROOT, end_with_sigterm
from bench.stand import Stand, stand
from vwed.client import connect

RESULTS = ROOT / "bench" / "results.json"
PAGE, PLOT = ROOT / "docs" / "performance.md", ROOT / "docs" / "performance.svg"


async def main() -> None:
    given = _arguments()
    if (os.cpu_count() or 1) < 2:
        sys.exit("the bench needs two cores: one for the server, one for everything else")
    if not h2load.available():
        print(f"no h2load: our own client takes its place. {h2load.HOW_TO_INSTALL}")
    end_with_sigterm()
    results = list[Result]()
    held: dict[str, holds.Holds] = {}
    async with stand(os.environ.get("VWED_BENCH_DATABASE_URL")) as s:
        effort = Effort(given.rounds, given.seconds, given.crowd_seconds, given.runs)
        for name, run in (await cases(s, effort)).items():
            if given.only and name not in given.only:
                continue
            before = holds.holds(s.server.metrics)
            for result in whatever_comes(name, run):
                results.append(result)
                print(table.markdown([result]).splitlines()[-1], flush=True)
            held[name] = holds.holds(s.server.metrics).since(before)
        sizes = {} if given.only and "memory" not in given.only else await _memory(s, given)
    for group in ("sight", "workers", "starvation"):  # they are other servers
        held.pop(group, None)
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


async def _memory(s: Stand, given: argparse.Namespace) -> dict[str, float]:
    async with connect(s.server.target, bare=True) as client:
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
        choices=[*GROUPS, "memory"],
        help="these alone; nothing is written",
    )
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(main())
