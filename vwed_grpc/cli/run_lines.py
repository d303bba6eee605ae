"""A run as lines of a terminal: its head, and its tree beside the bars of a timeline."""

from collections.abc import Sequence
from datetime import datetime

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from vwed_grpc.cli.event_line import STATUS_COLORS
from vwed_grpc.cli.screen import fit
from vwed_grpc.views.folding import is_urgent
from vwed_grpc.views.run_view import RunView
from vwed_grpc.views.timeline import Bar, Line, Timeline, timeline
from vwed_grpc.views.words import MARKS, duration, moment, percent, run_error, run_name, run_status

_STATUS, _SECONDS, _BARS = 9, 7, 16
_NARROW = 72
"""With fewer columns there are no bars."""
_NARROWEST_TITLE = 16


def run_lines(view: RunView, now: datetime, *, width: int, height: int) -> list[Text]:
    """At most `height` lines, none wider than `width` columns."""
    shown = timeline(view, now, most=max(height - 3, 1))
    lines = [_head(view, shown, width)]
    if error := run_error(view.run):
        lines.append(fit(Text(error, style="red"), width))
    lines += [_line(line, shown, width) for line in shown.lines]
    if shown.left_out:
        lines.append(fit(Text(f"  {_left_out(shown)}"), width))
    return lines


def _left_out(shown: Timeline) -> str:
    """`and 120 more blocks: 12 RUNNING, 3 FAILED`."""
    urgent = [
        f"{count:,} {status}" for status, count in shown.left_out.items() if is_urgent(status)
    ]
    said = ": " + ", ".join(urgent) if urgent else ""
    return f"and {shown.left_out.total():,} more blocks{said}"


def _head(view: RunView, shown: Timeline, width: int) -> Text:
    run = view.run
    status = run_status(run)
    ended = moment(run.end_time) is not None or moment(run.start_time) is not None
    words = [
        status,
        f"{percent(run.progress)} of {run.block_counts.total}",
        duration(shown.seconds) if ended else "",
        run.robot_id or run.executor_id,
    ]
    facts = "  ".join(filter(None, words))
    name = Text(run_name(run))
    # However long the name is, what becomes of the run is in sight.
    name.truncate(max(width - cell_len(facts) - 2, _NARROWEST_TITLE))
    said = run.status_reason or run.message
    text = name + Text(f"  {facts}" + (f"  {said}" if said else ""))
    text.highlight_words([status], style=f"bold {_color(status)}")
    return fit(text, width)


def _line(line: Line, shown: Timeline, width: int) -> Text:
    bars = _BARS if width >= _NARROW else 0
    title_width = max(width * 2 // 5, _NARROWEST_TITLE)
    title = f"{'  ' * line.depth}{MARKS[line.status]} {line.title}"
    text = Text(set_cell_size(title, title_width) + " ")
    text.append(f"{line.status:{_STATUS}} ", style=_color(line.status))
    text.append(f"{_seconds(line.bars):>{_SECONDS}} ")
    if bars:
        text.append(f"{_drawn(line.bars, shown.seconds, bars)} ", style=_color(line.status))
    text.append(line.bars[-1].message if line.bars else "")
    return fit(text, width)


def _seconds(bars: Sequence[Bar]) -> str:
    return duration(sum(bar.end - bar.begin for bar in bars)) if bars else ""


def _drawn(bars: Sequence[Bar], seconds: float, columns: int) -> str:
    """`   ####  #   `: every bar has one column at least."""
    drawn = [" "] * columns
    for bar in bars:
        first = min(int(bar.begin / seconds * columns), columns - 1)
        last = max(min(int(bar.end / seconds * columns), columns), first + 1)
        drawn[first:last] = "#" * (last - first)
    return "".join(drawn)


def _color(status: str) -> str:
    return STATUS_COLORS.get(status, "")
