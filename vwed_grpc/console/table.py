"""A run's blocks as rows of a page: its tree and its timeline in one."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from vwed_grpc.console.messages import plain
from vwed_grpc.views.run_view import RunView
from vwed_grpc.views.timeline import Bar, Line, timeline

MOST_ROWS = 1_000
"""A browser draws so many in a blink; loops are folded to stay below."""
_MOST_BARS = 24
"""In a row that has more, those that nobody could tell apart are merged."""
_PARTS = 1_000
"""Of the axis: what is closer than one of them cannot be told apart."""


def table(view: RunView) -> dict[str, Any]:
    """The run, its rows, and the seconds that the axis of their bars is long.

    Bars are [begin, end, status, title, message], in seconds since the axis begins; of what is at
    work `end` is this moment, so a page can let it grow.
    """
    shown = timeline(view, datetime.now(UTC), most=MOST_ROWS)
    run = plain(view.run)
    for payload in ("input", "result"):  # the page has them from elsewhere, once
        run.pop(payload, None)
    return {
        "run": run,
        "begin": shown.begin.isoformat(),
        "seconds": shown.seconds,
        "left_out": shown.left_out.total(),
        "rows": [_row(line, shown.seconds) for line in shown.lines],
    }


def _row(line: Line, seconds: float) -> dict[str, Any]:
    bars = line.bars
    if len(bars) > _MOST_BARS:
        bars = _merged(line, seconds / _PARTS)
    return {
        "depth": line.depth,
        "title": line.title,
        "status": line.status,
        "message": line.bars[-1].message if line.bars else "",
        "bars": [
            [round(bar.begin, 3), round(bar.end, 3), bar.status, bar.title, bar.message]
            for bar in bars
        ],
    }


def _merged(line: Line, gap: float) -> list[Bar]:
    """Bars of one status that are so close are one, by the row's own title."""
    merged: list[Bar] = []
    for bar in sorted(line.bars, key=lambda bar: bar.begin):
        last = merged[-1] if merged else None
        if last and last.status == bar.status and bar.begin - last.end < gap:
            end = max(last.end, bar.end)
            merged[-1] = replace(last, end=end, title=line.title, message=bar.message)
        else:
            merged.append(bar)
    return merged
