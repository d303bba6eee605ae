import sys
from typing import BinaryIO

import click
from vwed.v1.task_def_service_pb2 import ExportTaskDefsRequest

from vwed_grpc.cli.site_file import written
from vwed_grpc.cli.target import Target, run, target_options
from vwed_grpc.cli.transfer_progress import transfer_progress


@click.command()
@target_options
def export(target: Target) -> None:
    """Write all templates and definitions to standard output, a line for each version.

    What is deleted is left out. `vwed-grpc import` takes what this writes.
    """
    run(target, _export(target, sys.stdout.buffer))


async def _export(target: Target, out: BinaryIO) -> None:
    with transfer_progress(total_known=False) as progress:
        task = progress.add_task("exporting", total=None, items=0)
        async with target.connect() as client:
            items = 0
            async for response in client.definitions.ExportTaskDefs(ExportTaskDefsRequest()):
                out.write(written(response))
                items += 1
                progress.update(task, items=items)
    out.flush()
