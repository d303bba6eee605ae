"""What all commands that work on the database itself share: where it is, and how they end."""

import asyncio
import sys
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, redirect_stdout
from pathlib import Path
from typing import Any, TypeVar

import click
import sqlalchemy as sa

from vwed_grpc import embedded
from vwed_grpc.cli.options import settings_from
from vwed_grpc.embedded import DataDirInUse, EmbeddedServerError
from vwed_grpc.embedded.programs import ProgramMissingError
from vwed_grpc.storage.database import plain_reason, sync_engine
from vwed_grpc.storage.dump import DumpError
from vwed_grpc.storage.schema import SchemaMismatchError

Command = TypeVar("Command", bound=Callable[..., Any])
Done = TypeVar("Done")


def database_options(command: Command) -> Command:
    """The options `--database-url` and `--data-dir`."""
    url = click.option(
        "--database-url", help="PostgreSQL; without it the embedded one.  [VWED_DATABASE_URL]"
    )
    data_dir = click.option(
        "--data-dir",
        type=click.Path(path_type=Path, file_okay=False),
        help="Where the embedded one keeps its data.  [VWED_DATA_DIR, .vwed]",
    )
    return url(data_dir(command))


def on_database(
    given: Mapping[str, Any], work: Callable[[sa.Engine], Done], *, makes: bool = True
) -> Done:
    """Does the work on the database that was named, or on the embedded one.

    That is started for it, unless a server runs it; `makes`: and is made if it is not there.

    Raises click.ClickException.
    """
    settings = settings_from(given)
    if not (makes or settings.database_url or embedded.has_postgres(settings.data_dir)):
        raise click.ClickException(
            f"there is no database in {settings.data_dir}: give --data-dir or --database-url"
        )

    async def run() -> Done:
        async with AsyncExitStack() as stack:
            url = settings.database_url
            if url is None:
                try:
                    await stack.enter_async_context(embedded.lock_data_dir(settings.data_dir))
                except DataDirInUse:
                    url = embedded.url_of_running(settings.data_dir)
                else:
                    url = await stack.enter_async_context(embedded.postgres(settings.data_dir))
            engine = sync_engine(url)
            stack.callback(engine.dispose)
            return await asyncio.to_thread(work, engine)

    try:
        with redirect_stdout(sys.stderr):  # what is logged of an embedded server is no result
            return asyncio.run(run())
    except (DumpError, EmbeddedServerError, ProgramMissingError, SchemaMismatchError) as exc:
        raise click.ClickException(str(exc)) from exc
    except sa.exc.DBAPIError as exc:
        raise click.ClickException(f"the database cannot be used: {plain_reason(exc)}") from exc
