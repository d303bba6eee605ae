"""`vwed-grpc get`: one run, as it is now."""

from datetime import UTC, datetime

import click
from vwed.v1.cache_service_pb2 import ListDataCacheRequest
from vwed.v1.common_pb2 import View
from vwed.v1.data_cache_pb2 import DataCache
from vwed.v1.record_service_pb2 import ListTaskRecordEventsRequest
from vwed.v1.task_record_event_pb2 import TaskRecordEvent

from vwed.client import Client, pages
from vwed_grpc.cli.event_line import BlockDepths, event_line
from vwed_grpc.cli.output import output_option, print_json
from vwed_grpc.cli.run_lines import run_lines
from vwed_grpc.cli.screen import columns, print_lines
from vwed_grpc.cli.target import Target, run, target_options
from vwed_grpc.views.reading import PAGE, read_view
from vwed_grpc.views.words import entry_text

MOST_LINES = 500
WIDTH = 160
"""Columns that a run takes at most, however wide the terminal is."""


@click.command()
@click.argument("run_id", metavar="RUN")
@click.option("--cache", is_flag=True, help="Its data cache, too.")
@click.option("--events", is_flag=True, help="Its history, too.")
@output_option
@target_options
def get(run_id: str, *, cache: bool, events: bool, output: str, target: Target) -> None:
    """Print a run: its blocks as a tree, with how long they took."""
    run(target, _get(target, run_id, cache=cache, events=events, as_json=output == "json"))


async def _get(target: Target, run_id: str, *, cache: bool, events: bool, as_json: bool) -> None:
    async with target.connect() as client:
        view = await read_view(client, run_id, full=as_json)
        entries = await _entries(client, run_id) if cache else []
        history = await _events(client, run_id) if events else []
    if as_json:
        print_json(
            {"task_record": view.run, "block_records": view.records()}
            | ({"data_caches": entries} if cache else {})
            | ({"events": history} if events else {})
        )
        return
    width = min(columns(), WIDTH)
    print_lines(run_lines(view, datetime.now(UTC), width=width, height=MOST_LINES))
    for entry in entries:
        click.echo(f"{entry.key} = {entry_text(entry)}")
    depths = BlockDepths(view.config)
    for event in history:
        click.echo(event_line(event, depths))


async def _entries(client: Client, run_id: str) -> list[DataCache]:
    request = ListDataCacheRequest(task_record_id=run_id, page_size=PAGE, view=View.VIEW_FULL)
    return [entry async for entry in pages(client.cache.ListDataCache, request)]


async def _events(client: Client, run_id: str) -> list[TaskRecordEvent]:
    request = ListTaskRecordEventsRequest(task_record_id=run_id, page_size=PAGE)
    return [event async for event in pages(client.records.ListTaskRecordEvents, request)]
