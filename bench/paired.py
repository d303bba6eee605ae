"""`python -m bench.paired COMMIT`: every case with the server of a commit and with ours, in turns.

Prints a table of both, with the medians of the rounds' ratios. It needs no attendance; with
`--rounds 5 --seconds 2` it takes about twenty minutes.
"""

import argparse
import asyncio
import os
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from operator import attrgetter
from pathlib import Path
from statistics import median

import sqlalchemy as sa

from bench.cases import GROUPS, Cases, Effort, cases, whatever_comes
from bench.measure import Result
from bench.process import LOAD_CORE, ROOT, end_with_sigterm
from bench.stand import embedded_stores, stand_on
from vwed_grpc import embedded
from vwed_grpc.storage.database import sync_engine

Pair = tuple[Result, Result]
"""Before, now."""


async def main() -> None:
    given = _arguments()
    end_with_sigterm()
    os.sched_setaffinity(0, {LOAD_CORE})
    effort = Effort(1, given.seconds, given.crowd_seconds, given.runs)
    found: dict[str, list[Pair]] = defaultdict(list)
    async with embedded_stores() as ours:
        other = ours.room / "before"
        other.mkdir()
        async with embedded.valkey(other) as redis_url:
            theirs = replace(
                ours, database_url=_new_database(ours.database_url), redis_url=redis_url
            )
            with (
                _source_of(given.commit, ours.room / "source") as tree,
                stand_on(theirs, "before", tree) as before,
                stand_on(ours, "now") as now,
            ):
                of_both = [await cases(stand, effort) for stand in (before, now)]
                for n in range(given.rounds):
                    for group in given.only:
                        for pair in _in_turns([of[group] for of in of_both], group, n % 2 > 0):
                            found[pair[1].case].append(pair)
                            print(f"{n + 1}: {_line(pair[1].case, [pair])}", flush=True)
    print(f"\n{_HEAD}\n" + "\n".join(_line(case, pairs) for case, pairs in found.items()))


def _in_turns(both: Sequence[Cases], group: str, other_way_round: bool) -> Iterator[Pair]:
    """Each case with the one, then with the other. A case that fails with either ends the group."""
    first, second = (
        whatever_comes(group, run) for run in (both[::-1] if other_way_round else both)
    )
    for a, b in zip(first, second, strict=False):
        if a.case == b.case:
            yield (b, a) if other_way_round else (a, b)


_HEAD = """\
| case | a second before | now | ratio | CPU before | now | ratio | more |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |"""


def _line(case: str, pairs: Sequence[Pair]) -> str:
    cells = [case]
    cells += _compared(attrgetter("rate"), pairs) + _compared(attrgetter("cpu_us"), pairs)
    common = [name for name in pairs[0][1].figures if name in pairs[0][0].figures]
    more = []
    for name in common:
        before, now, ratio = _compared(partial(_figure, name), pairs)
        more.append(f"{name.replace('_', ' ')} {before} → {now}" + (f" ({ratio})" if ratio else ""))
    return f"| {' | '.join(cells)} | {', '.join(more)} |"


def _figure(name: str, result: Result) -> float:
    return result.figures[name]


def _compared(figure: Callable[[Result], float], pairs: Sequence[Pair]) -> tuple[str, str, str]:
    """The medians, and that of the ratios; what was not measured is left empty."""
    values = [(figure(before), figure(now)) for before, now in pairs]
    shown = [f"{median(side):,.4g}" for side in zip(*values, strict=True)]
    ratios = [now / before for before, now in values if before]
    return shown[0], shown[1], f"{median(ratios):.2f}" if ratios else ""


@contextmanager
def _source_of(commit: str, tree: Path) -> Iterator[Path]:
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "add", "--quiet", "--detach", str(tree), commit], check=True)
    try:
        yield tree
    finally:
        subprocess.run([*git, "remove", "--force", str(tree)], check=True)


def _new_database(url: str) -> str:
    """Another one, beside that of the URL."""
    engine = sync_engine(url)
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(sa.text("CREATE DATABASE before"))
    engine.dispose()
    return sa.make_url(url).set(database="before").render_as_string(hide_password=False)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.paired", description=__doc__)
    parser.add_argument("commit", help="what ours is compared with")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each load in a round")
    parser.add_argument("--crowd-seconds", type=float, default=8.0, help="the same of the crowd")
    parser.add_argument("--runs", type=int, default=100_000, help="that lists have to page")
    comparable = [group for group in GROUPS if group not in {"sight", "client", "workers"}]
    parser.add_argument("--only", nargs="+", choices=comparable, default=comparable)
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(main())
