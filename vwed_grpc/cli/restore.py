"""`vwed-grpc restore FILE`: a backup in place of what the database holds."""

from pathlib import Path
from typing import Any

import click

from vwed_grpc.cli.database import database_options, on_database
from vwed_grpc.embedded.programs import program_for
from vwed_grpc.storage import dump


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--force", is_flag=True, help="Replace what the database holds.")
@database_options
def restore(file: Path, *, force: bool, **given: Any) -> None:
    """Put the backup FILE into the database, all of it or nothing; servers may be running."""
    on_database(given, lambda engine: dump.restore(engine, file, program_for, force=force))
    click.echo(f"{file} is restored")
