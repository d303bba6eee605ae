"""How the demo shows what its watches see: a live table on a terminal, else a line an event."""

from collections.abc import Iterator
from contextlib import contextmanager
from sys import stdout

import click
from rich.box import SIMPLE
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text
from vwed.v1.task_record_event_pb2 import TaskRecordEvent
from vwed.v1.task_record_pb2 import TaskRecord

from vwed_grpc.cli.event_line import STATUS_COLORS, BlockDepths, event_line
from vwed_grpc.demo.session import Spectator
from vwed_grpc.domain import lifecycle
from vwed_grpc.views.words import block_status, block_title, run_error, run_status


@contextmanager
def progress_view() -> Iterator[Spectator]:
    """A place to show events for as long as it is open."""
    if not stdout.isatty():
        yield _Lines().show
        return
    table = _RunTable()
    with Live(get_renderable=table.render, console=Console(), refresh_per_second=8):
        yield table.show


class _Lines:
    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._depths = BlockDepths()

    def show(self, event: TaskRecordEvent) -> None:
        if event.HasField("task_record"):
            self._names[event.task_record_id] = _short_name(event.task_record)
        name = self._names.get(event.task_record_id, event.task_record_id)
        click.echo(f"{name:17} {event_line(event, self._depths)}")


class _RunTable:
    def __init__(self) -> None:
        self._runs: dict[str, TaskRecord] = {}
        self._progress: dict[str, float] = {}
        self._blocks: dict[str, str] = {}

    def show(self, event: TaskRecordEvent) -> None:
        run_id = event.task_record_id
        if event.HasField("task_record"):
            self._runs[run_id] = event.task_record
        elif event.HasField("block_record"):
            block = event.block_record
            self._blocks[run_id] = f"{block_title(block)} {block_status(block)} {block.message}"
        if event.HasField("progress"):
            self._progress[run_id] = event.progress

    def render(self) -> Table | str:
        if not self._runs:
            return "loading the definitions"
        table = Table(box=SIMPLE)
        for title in ("run", "definition", "robot", "status"):
            table.add_column(title, no_wrap=True)
        table.add_column("done", justify="right", no_wrap=True)
        table.add_column("last block", no_wrap=True, ratio=1)
        # Open runs first: what does not fit on the screen is cut off below.
        for run in sorted(self._runs.values(), key=lambda run: run.status in lifecycle.FINAL):
            status = run_status(run)
            table.add_row(
                _short_name(run),
                run.task_def_name,
                run.executor_id,
                Text(status, style=STATUS_COLORS.get(status, "")),
                f"{self._progress.get(run.id, 0.0):.0%}",
                Text(run_error(run) or self._blocks.get(run.id, "")),
            )
        return table


def _short_name(run: TaskRecord) -> str:
    return (run.external_id or run.id) + (" #2" if run.attempt > 1 else "")
