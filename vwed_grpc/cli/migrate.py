"""`vwed-grpc migrate`: brings a database's schema up to date."""

from typing import Any

import click

from vwed_grpc.cli.database import database_options, on_database
from vwed_grpc.storage import schema


@click.command()
@database_options
def migrate(**given: Any) -> None:
    """Bring the database's schema up to date."""
    before = on_database(given, schema.migrate)
    click.echo(f"schema {before or 'none'} -> {max(before, schema.HEAD)}")
