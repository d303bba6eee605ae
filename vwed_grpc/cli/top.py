"""`vwed-grpc top`: the open runs, live."""

import sys
from datetime import UTC, datetime

import click
from rich.text import Text
from vwed.v1.record_service_pb2 import ListTaskRecordsRequest
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordFilter

from vwed.client import pages, watch_runs
from vwed_grpc.cli.list_lines import list_lines
from vwed_grpc.cli.live import LivePicture
from vwed_grpc.cli.output import output_option, print_json
from vwed_grpc.cli.screen import columns, print_lines
from vwed_grpc.cli.target import Target, run, target_options
from vwed_grpc.domain.lifecycle import FINAL, OPEN, PENDING
from vwed_grpc.views.reading import PAGE

_HEADINGS = 2
"""Lines beside those of the runs."""


@click.command()
@output_option
@target_options
def top(output: str, target: Target) -> None:
    """Show the open runs: those at work first, the longest waiting last.

    Without a terminal, and with -o json, it shows them once.
    """
    if sys.stdout.isatty() and output == "text":
        run(target, _live(target))
    else:
        run(target, _once(target, as_json=output == "json"))


async def _once(target: Target, *, as_json: bool) -> None:
    request = ListTaskRecordsRequest(filter=TaskRecordFilter(statuses=OPEN), page_size=PAGE)
    async with target.connect() as client:
        found = [record async for record in pages(client.records.ListTaskRecords, request)]
    if as_json:
        print_json(_in_order(found))
    else:
        print_lines(list_lines(_in_order(found), datetime.now(UTC), width=columns()))


async def _live(target: Target) -> None:
    known: dict[str, TaskRecord] = {}

    def lines(width: int, height: int) -> list[Text]:
        shown = _in_order([*known.values()])
        most = max(height - _HEADINGS, 1)
        lines = list_lines(shown[:most], datetime.now(UTC), width=width)
        if len(shown) > most:
            lines.append(Text(f"and {len(shown) - most:,} more"))
        return lines

    async with target.connect() as client, LivePicture(target, lines) as picture:
        async for message in watch_runs(client, on_outage=picture.on_outage):
            for event in message.events:
                if event.HasField("task_record"):
                    known[event.task_record_id] = event.task_record
                if event.HasField("deleted") or event.task_record.status in FINAL:
                    known.pop(event.task_record_id, None)


def _in_order(runs: list[TaskRecord]) -> list[TaskRecord]:
    return sorted(runs, key=_rank)


def _rank(record: TaskRecord) -> tuple[bool, int, int]:
    return record.status == PENDING, -record.priority, record.create_time.ToMicroseconds()
