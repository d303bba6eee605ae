"""`vwed-grpc backup FILE`: the whole database in a file."""

from pathlib import Path
from typing import Any

import click

from vwed_grpc.cli.database import database_options, on_database
from vwed_grpc.embedded.programs import program_for
from vwed_grpc.storage import dump


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@database_options
def backup(file: Path, **given: Any) -> None:
    """Write the whole database to FILE, as it is at one moment; servers may be running."""
    on_database(given, lambda engine: dump.backup(engine, file, program_for), makes=False)
    click.echo(f"{file}: {file.stat().st_size / 2**20:.1f} MiB")
