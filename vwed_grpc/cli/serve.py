"""`vwed-grpc serve`: the server, until it is told to stop."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import click
import structlog
import uvloop

from vwed_grpc import logs
from vwed_grpc.cli.options import settings_from
from vwed_grpc.embedded import DataDirInUse, EmbeddedServerError
from vwed_grpc.garbage import ShortCollections
from vwed_grpc.server import serving
from vwed_grpc.settings import Settings
from vwed_grpc.storage.schema import SchemaMismatchError
from vwed_grpc.stores import CannotServeError
from vwed_grpc.workers import serving_with_workers

log = structlog.get_logger("vwed")

_STOP = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@click.command()
@click.option("--listen", help="Where to listen, host:port.  [VWED_LISTEN, 127.0.0.1:50051]")
@click.option("--database-url", help="PostgreSQL; without it one is embedded.  [VWED_DATABASE_URL]")
@click.option(
    "--redis-url",
    help='Redis; without it one is embedded; "none": no cache at all.  [VWED_REDIS_URL]',
)
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where embedded servers keep their data.  [VWED_DATA_DIR, .vwed]",
)
@click.option("--workers", type=int, help="Processes on the port.  [VWED_WORKERS, 1]")
@click.option(
    "--metrics-listen", help="Where to show metrics, over HTTP.  [VWED_METRICS_LISTEN, nowhere]"
)
@click.option(
    "--insecure",
    is_flag=True,
    default=None,
    help="Listen beyond loopback though there is neither TLS nor authentication.",
)
def serve(**given: Any) -> None:
    """Serve until interrupted."""
    settings = settings_from(given)
    logs.configure(settings.log_level, json=settings.log_json)
    try:
        uvloop.run(_serve(settings))
    except (CannotServeError, DataDirInUse, EmbeddedServerError, SchemaMismatchError) as exc:
        raise click.ClickException(str(exc)) from exc


async def _serve(settings: Settings) -> None:
    stop = asyncio.Event()
    for number in _STOP:
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    if settings.worker:
        _stop_with_parent(stop)
    serve_all = serving_with_workers if settings.workers > 1 else serving
    async with serve_all(settings) as port:
        _let_go_of_the_loop()
        host = settings.listen.rpartition(":")[0]
        say = log.debug if settings.worker else log.info
        say("listening", address=f"{host}:{port}")
        await stop.wait()
        log.info("draining")
    log.info("stopped")


def _let_go_of_the_loop() -> None:
    """Shortens what the interpreter itself holds the event loop for."""
    ShortCollections().install()
    # So long at most the loop waits for the thread of `rpc.offload`, each time it lets it in.
    sys.setswitchinterval(0.001)


def _stop_with_parent(stop: asyncio.Event) -> None:
    """A worker's standard input ends with its parent, however that ended."""
    stdin = sys.stdin.fileno()

    def ended() -> None:
        if not os.read(stdin, 1):
            asyncio.get_running_loop().remove_reader(stdin)
            stop.set()

    asyncio.get_running_loop().add_reader(stdin, ended)
