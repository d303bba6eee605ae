"""A serving process: from its begin until it is told to stop."""

import asyncio
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeAlias

import click
import structlog
import uvloop

from vwed_grpc.embedded import DataDirInUse, EmbeddedServerError
from vwed_grpc.loop.garbage import ShortCollections, importing
from vwed_grpc.process import parent
from vwed_grpc.process.memory import return_free_memory
from vwed_grpc.process.stores import CannotServeError
from vwed_grpc.settings import Settings
from vwed_grpc.storage.schema import SchemaMismatchError
from vwed_grpc.telemetry.export import check_extra, export_traces

log = structlog.get_logger("vwed")

Serving: TypeAlias = Callable[[Settings], AbstractAsyncContextManager[int]]

_STOP = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def serve_until_stopped(settings: Settings) -> None:
    """Raises click.ClickException, which says in one line why it cannot serve."""
    return_free_memory()
    try:
        if settings.trace_share is not None:
            check_extra()
            if settings.workers == 1:
                export_traces()
        uvloop.run(_serve(_serving(settings), settings))
    except (CannotServeError, DataDirInUse, EmbeddedServerError, SchemaMismatchError) as exc:
        raise click.ClickException(str(exc)) from exc


def _serving(settings: Settings) -> Serving:
    """The parent of workers imports no server: it has none."""
    with importing():
        if settings.workers > 1:
            from vwed_grpc.process.workers import serving_with_workers  # noqa: PLC0415 - see above

            return serving_with_workers
        from vwed_grpc.server import serving  # noqa: PLC0415 - see above

        return serving


async def _serve(serving: Serving, settings: Settings) -> None:
    serving_task = asyncio.current_task()
    stop, listening = asyncio.Event(), asyncio.Event()

    def end() -> None:
        if serving_task is not None and not (stop.is_set() or listening.is_set()):
            serving_task.cancel()  # whatever the start waits for
        stop.set()

    for number in _STOP:
        asyncio.get_running_loop().add_signal_handler(number, end)
    if settings.worker is not None:
        parent.when_it_ends(end)
    try:
        async with serving(settings) as port:
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
