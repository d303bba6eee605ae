"""Runs as lines of a table, which gives up its least needed columns where there is no room."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.text import Text
from vwed.v1.task_record_pb2 import TaskRecord

from vwed_grpc.cli.event_line import STATUS_COLORS
from vwed_grpc.cli.screen import fit
from vwed_grpc.views.words import age, duration, moment, percent, run_error, run_status


class _Column(NamedTuple):
    title: str
    text: Callable[[TaskRecord, datetime], str]
    least: int
    """Shown from so many columns of the terminal on."""
    right: bool = False


def _took(run: TaskRecord, now: datetime) -> str:
    start = moment(run.start_time)
    end = moment(run.end_time) or now
    return duration((end - start).total_seconds()) if start else ""


_COLUMNS = (
    _Column("RUN", lambda run, _: run.id, 0),
    _Column("STATUS", lambda run, _: run_status(run), 0),
    _Column("DONE", lambda run, _: percent(run.progress), 0, right=True),
    _Column("TIME", _took, 0, right=True),
    _Column("AGE", lambda run, now: age(run.create_time, now), 100, right=True),
    _Column("ROBOT", lambda run, _: run.robot_id or run.executor_id, 90),
    _Column("DEFINITION", lambda run, _: run.task_def_name, 0),
    _Column("EXTERNAL ID", lambda run, _: run.external_id, 0),
    _Column("MESSAGE", lambda run, _: run_error(run) or run.message, 0),
)


def list_lines(runs: Sequence[TaskRecord], now: datetime, *, width: int) -> list[Text]:
    """A head and a line for each run, none wider than `width` columns."""
    shown = [column for column in _COLUMNS if column.least <= width]
    cells = [[column.text(run, now) for column in shown] for run in runs]
    widths = [
        max(cell_len(text) for text in (column.title, *(row[n] for row in cells)))
        for n, column in enumerate(shown)
    ]
    lines = []
    for row in ([column.title for column in shown], *cells):
        line = Text()
        for column, text, size in zip(shown, row, widths, strict=True):
            padded = text.rjust(size) if column.right else set_cell_size(text, size)
            line.append(f"{padded}  ", style=STATUS_COLORS.get(text, ""))
        lines.append(fit(line, width))
    return lines
