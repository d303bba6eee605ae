"""`vwed-grpc watch`: a run live, through restarts of the server."""

import sys
from datetime import UTC, datetime
from typing import TypeAlias

import click
from rich.text import Text
from vwed.v1.task_record_pb2 import TaskRecordStatus

from vwed.client import watch_run
from vwed_grpc.cli.event_line import BlockDepths, event_line
from vwed_grpc.cli.live import LivePicture
from vwed_grpc.cli.output import output_option, print_json
from vwed_grpc.cli.run_lines import run_lines
from vwed_grpc.cli.target import Target, run, target_options
from vwed_grpc.views.reading import read_config, read_run
from vwed_grpc.views.run_view import RunView

Status: TypeAlias = TaskRecordStatus.ValueType
_EXIT_CODES = {
    TaskRecordStatus.TASK_RECORD_STATUS_FAILED: 10,
    TaskRecordStatus.TASK_RECORD_STATUS_CANCELED: 11,
}


@click.command()
@click.argument("run_id", metavar="RUN")
@click.option(
    "--after-seq",
    type=click.IntRange(min=0),
    help="Only the events after this one, 0: all that are kept. Else the present states first.",
)
@click.option("--lines", is_flag=True, help="A line for each event on a terminal, too.")
@click.option("--exit-status", is_flag=True, help="Ends with 10 if the run FAILED, 11: CANCELED.")
@output_option
@target_options
def watch(
    run_id: str,
    after_seq: int | None,
    *,
    lines: bool,
    exit_status: bool,
    output: str,
    target: Target,
) -> None:
    """Show what happens in a run until it ends.

    On a terminal as a tree, else as a line for each event; with -o json each is an object.
    """
    as_tree = sys.stdout.isatty() and not lines and after_seq is None and output == "text"
    shown = _tree(target, run_id) if as_tree else _lines(target, run_id, after_seq, output)
    ended = run(target, shown)
    if exit_status:
        raise SystemExit(_EXIT_CODES.get(ended, 0))


async def _lines(target: Target, run_id: str, after_seq: int | None, output: str) -> Status:
    async with target.connect() as client:
        record = await read_run(client, run_id)
        depths = BlockDepths(await read_config(client, record))
        status = record.status
        async for event in watch_run(client, run_id, after_seq, on_outage=target.tell_outage):
            if output == "json":
                print_json(event, indent=None)
            else:
                click.echo(event_line(event, depths))
            if event.HasField("task_record"):
                status = event.task_record.status
        return status


async def _tree(target: Target, run_id: str) -> Status:
    async with target.connect() as client:
        record = await read_run(client, run_id)
        view = RunView(record, await read_config(client, record))

        def lines(width: int, height: int) -> list[Text]:
            return run_lines(view, datetime.now(UTC), width=width, height=height)

        async with LivePicture(target, lines) as picture:
            async for event in watch_run(client, run_id, on_outage=picture.on_outage):
                view.apply(event)
        return view.run.status
