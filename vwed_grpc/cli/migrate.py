"""`vwed-grpc migrate`: brings a database's schema up to date."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import click
import sqlalchemy as sa

from vwed_grpc import embedded
from vwed_grpc.cli.options import settings_from
from vwed_grpc.embedded import DataDirInUse, EmbeddedServerError
from vwed_grpc.settings import Settings
from vwed_grpc.storage import schema
from vwed_grpc.storage.database import plain_reason, sync_engine


@click.command()
@click.option("--database-url", help="PostgreSQL; without it the embedded one.")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the embedded one keeps its data.  [VWED_DATA_DIR, .vwed]",
)
def migrate(**given: Any) -> None:
    """Bring the database's schema up to date."""
    settings = settings_from(given)
    try:
        asyncio.run(_migrate(settings))
    except (DataDirInUse, EmbeddedServerError) as exc:
        raise click.ClickException(str(exc)) from exc
    except sa.exc.DBAPIError as exc:
        raise click.ClickException(f"the database cannot be used: {plain_reason(exc)}") from exc


async def _migrate(settings: Settings) -> None:
    async with AsyncExitStack() as stack:
        url = settings.database_url
        if url is None:
            await stack.enter_async_context(embedded.lock_data_dir(settings.data_dir))
            url = await stack.enter_async_context(embedded.postgres(settings.data_dir))
        engine = sync_engine(url)
        try:
            before = await asyncio.to_thread(schema.migrate, engine)
        finally:
            engine.dispose()
        click.echo(f"schema {before or 'none'} -> {max(before, schema.HEAD)}")
