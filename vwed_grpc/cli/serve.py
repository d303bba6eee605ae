"""`vwed-grpc serve`: the server, until it is told to stop."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
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
from vwed_grpc.telemetry.export import check_extra, export_traces
from vwed_grpc.workers import serving_with_workers

log = structlog.get_logger("vwed")

_FILE = click.Path(path_type=Path, dir_okay=False)
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
    "--metrics-listen",
    help="Where to show /metrics, /livez and /readyz, over HTTP.  [VWED_METRICS_LISTEN, nowhere]",
)
@click.option(
    "--start-timeout",
    type=float,
    help="Seconds to wait for PostgreSQL at the start.  [VWED_START_TIMEOUT, 60]",
)
@click.option(
    "--insecure",
    is_flag=True,
    default=None,
    help="Listen beyond loopback though there is no TLS, or no authentication.",
)
@click.option("--tls-cert", type=_FILE, help="The server's certificate, PEM.  [VWED_TLS_CERT]")
@click.option("--tls-key", type=_FILE, help="Its private key.  [VWED_TLS_KEY]")
@click.option(
    "--tls-client-ca",
    type=_FILE,
    help="Clients must have certificates of this authority.  [VWED_TLS_CLIENT_CA]",
)
@click.option(
    "--token-keys",
    type=_FILE,
    help="Callers must have tokens (JWT) of these keys: a JWK Set, or a public key in"
    " PEM.  [VWED_TOKEN_KEYS]",
)
@click.option("--token-issuer", help="Who must have issued them.  [VWED_TOKEN_ISSUER, anybody]")
@click.option("--token-audience", help="Whom they must be meant for.  [VWED_TOKEN_AUDIENCE, vwed]")
@click.option(
    "--audit-log",
    help="A line of JSON for each call that may change something: to a file, or standard output"
    ' ("-").  [VWED_AUDIT_LOG, off]',
)
@click.option(
    "--introspection",
    type=click.Choice(["open", "scope", "off"]),
    help="Whom reflection and channelz are for.  [VWED_INTROSPECTION, scope]",
)
def serve(**given: Any) -> None:
    """Serve until interrupted."""
    settings = settings_from(given)
    logs.configure(settings.log_level, json=settings.log_json)
    try:
        if settings.trace_share is not None:
            check_extra()
            if settings.workers == 1:
                export_traces()
        uvloop.run(_serve(settings))
    except (CannotServeError, DataDirInUse, EmbeddedServerError, SchemaMismatchError) as exc:
        raise click.ClickException(str(exc)) from exc


async def _serve(settings: Settings) -> None:
    serving_task = asyncio.current_task()
    stop, listening = asyncio.Event(), asyncio.Event()

    def end() -> None:
        if serving_task is not None and not (stop.is_set() or listening.is_set()):
            serving_task.cancel()  # whatever the start waits for
        stop.set()

    for number in _STOP:
        asyncio.get_running_loop().add_signal_handler(number, end)
    if settings.worker is not None:
        _stop_with_parent(end)
    serve_all = serving_with_workers if settings.workers > 1 else serving
    try:
        async with serve_all(settings) as port:
            listening.set()
            _let_go_of_the_loop()
            host = settings.listen.rpartition(":")[0]
            say = log.info if settings.worker is None else log.debug
            say("listening", address=f"{host}:{port}")
            await stop.wait()
            log.info("draining")
    except asyncio.CancelledError:
        if not stop.is_set():
            raise
    log.info("stopped")


def _let_go_of_the_loop() -> None:
    """Shortens what the interpreter itself holds the event loop for."""
    ShortCollections().install()
    # So long at most the loop waits for the thread of `offload`, each time it lets it in.
    sys.setswitchinterval(0.001)


def _stop_with_parent(end: Callable[[], None]) -> None:
    """A worker's standard input ends with its parent, however that ended."""
    stdin = sys.stdin.fileno()

    def ended() -> None:
        if not os.read(stdin, 1):
            asyncio.get_running_loop().remove_reader(stdin)
            end()

    asyncio.get_running_loop().add_reader(stdin, ended)
