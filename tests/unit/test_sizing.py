"""The table of docs/scaling.md is what its own figures come to."""

import math
import re
from pathlib import Path

import pytest

SCALING = (Path(__file__).parents[2] / "docs" / "scaling.md").read_text()
UNITS = {"": 1.0, "s": 1.0, "min": 60.0, "GB": 1e9, "TB": 1e12}

RUNS, BLOCKS = 600, 12_000  # a robot, a day
EVENT_DAYS, RUN_DAYS = 30, 90
EVENTS_OF_BLOCK, BLOCK, RUN = 1_200, 1_000, 4_000  # bytes
ALONE, STREAMED, READ, OF_POSTGRESQL = 0.51e-3, 0.05e-3, 0.27e-3, 0.026e-3  # seconds of a core
PRUNED = 300_000  # blocks a second
CONNECTIONS = 18


def expected(robots: int) -> dict[str, tuple[float, ...]]:
    """Each row by how it begins."""
    reports = robots * BLOCKS * 2 / (20 * 3600) * 2
    beats, reads = robots / 5, robots / 2
    alone = reports * ALONE + (beats + reads) * READ
    streamed = reports * STREAMED + (beats + reads) * READ
    replicas = [math.ceil(cores / 0.6) + 1 for cores in (alone, streamed)]
    events = robots * BLOCKS * EVENTS_OF_BLOCK
    blocks = robots * BLOCKS * BLOCK
    runs = robots * RUNS * RUN
    kept = events * EVENT_DAYS, blocks * RUN_DAYS, runs * RUN_DAYS
    return {
        "reports a second": (reports,),
        "heartbeats, reads": (beats, reads),
        "cores of servers: reports one by one": (alone,),
        "cores of servers: reports by stream": (streamed,),
        "replicas": tuple(replicas),
        "PostgreSQL's connections": tuple(each * CONNECTIONS for each in replicas),
        "PostgreSQL's cores": (reports * OF_POSTGRESQL,),
        "new data a day": (events + blocks + runs,),
        "events": (kept[0],),
        "blocks": (kept[1],),
        "runs": (kept[2],),
        "disk": (sum(kept) * 1.3,),
        "pruning": (robots * BLOCKS / PRUNED,),
    }


def written(column: int) -> dict[str, list[tuple[float, float]]]:
    """The numbers of a column, each with what it may be off by, by the text of their row."""
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", SCALING, re.MULTILINE)
    return {
        name: [
            (
                float(whole.replace(",", "") + part) * UNITS[unit],
                0.5 / 10 ** len(part[1:]) * UNITS[unit],
            )
            for whole, part, unit in re.findall(
                r"(\d[\d,]*\d|\d)(\.\d+)?\s?(GB|TB|min|s)?", cells[column]
            )
        ]
        for name, *cells in rows
    }


@pytest.mark.parametrize(("column", "robots"), [*enumerate((40, 1_000, 20_000))])
def test_the_table_is_right(column: int, robots: int) -> None:
    rows = written(column)
    for name, values in expected(robots).items():
        (numbers,) = (found for row, found in rows.items() if row.startswith(name))
        # The same for reports one by one and by stream is written once.
        wanted = [*dict.fromkeys(values)]
        assert len(numbers) == len(wanted), name
        for (number, off), value in zip(numbers, wanted, strict=True):
            assert number == pytest.approx(value, rel=0.03, abs=off), name
