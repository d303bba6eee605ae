"""Several serving processes on one port: started, watched, and restarted when they die.

The kernel spreads connections over them (SO_REUSEPORT). This process makes no gRPC object: it holds
the port and what is embedded, and each worker is a fresh process of the same command.
"""

import asyncio
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry

from vwed_grpc import pages
from vwed_grpc.listening import check_address
from vwed_grpc.settings import NO_REDIS, Settings
from vwed_grpc.stores import CannotServeError, open_stores
from vwed_grpc.telemetry import multiprocess
from vwed_grpc.telemetry.disk import show_disk
from vwed_grpc.telemetry.page import page_of

log = structlog.get_logger("vwed.workers")

_COMMAND = (sys.executable, "-c", "from vwed_grpc.cli.main import main; main()", "serve")
_FIRST_PAUSE, _LAST_PAUSE = 0.2, 10.0
"""Seconds before a worker that died is started again; doubled each time it dies young."""
_YOUNG = 30.0
_GRACE = 5.0
"""Seconds beyond its draining that a worker may take to stop."""


@asynccontextmanager
async def serving_with_workers(settings: Settings) -> AsyncIterator[int]:
    """Keeps `settings.workers` processes serving while entered; yields the port.

    Raises what `server.serving` does.
    """
    async with AsyncExitStack() as stack:
        check_address(settings)
        port = _hold_port(stack, settings.listen)
        stores = await open_stores(stack, settings)
        child = settings.model_copy(
            update={
                "listen": f"{settings.listen.rpartition(':')[0]}:{port}",
                "database_url": stores.database_url,
                "redis_url": stores.redis_url or NO_REDIS,
                "watched_dir": stores.data,
                "workers": 1,
                "metrics_listen": None,
            }
        )
        if settings.metrics_listen:
            child.metrics_dir = await _show_metrics(stack, settings)
        tasks = [
            asyncio.create_task(_keep(child.model_copy(update={"worker": n})))
            for n in range(settings.workers)
        ]

        async def end() -> None:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

        stack.push_async_callback(end)
        await _first_answer(child.listen)
        yield port


async def _show_metrics(stack: AsyncExitStack, settings: Settings) -> Path:
    """Shows those of all workers; answers where they write them. Raises CannotServeError."""
    assert settings.metrics_listen is not None  # noqa: S101 - the caller looked
    registry = CollectorRegistry()
    directory = stack.enter_context(multiprocess.gathered(registry))
    if settings.database_url is None:
        show_disk(registry, settings.data_dir)
    shown = {"/metrics": page_of(registry)}
    await stack.enter_async_context(pages.showing(settings.metrics_listen, shown))
    return directory


def _hold_port(stack: AsyncExitStack, listen: str) -> int:
    """Reserves the port for the workers. Raises CannotServeError."""
    host, _, port = listen.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    address = (host.strip("[]"), int(port))
    try:
        holder = stack.enter_context(socket.socket(family))
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(address)
    except OSError as exc:
        raise CannotServeError(f"cannot listen on {listen}: {exc.strerror}") from exc
    return int(holder.getsockname()[1])


async def _first_answer(listen: str) -> None:
    """Returns when a worker takes connections; one that never does is logged by `_keep`."""
    host, _, port = listen.rpartition(":")
    while True:
        try:
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return


async def _keep(settings: Settings) -> None:
    """One worker after the other, until cancelled."""
    pause = _FIRST_PAUSE
    while True:
        began = time.monotonic()
        try:
            code: int | str = await _work(settings)
        except OSError as exc:  # no memory, no process left: a moment later there may be
            code = repr(exc)
        pause = _FIRST_PAUSE if time.monotonic() - began > _YOUNG else min(pause * 2, _LAST_PAUSE)
        if settings.metrics_dir is not None and settings.worker is not None:
            multiprocess.forget(settings.metrics_dir, settings.worker)
        log.warning("worker died", worker=settings.worker, code=code, restart_in=pause)
        await asyncio.sleep(pause)


async def _work(settings: Settings) -> int:
    """One worker, until it ends or this is cancelled; answers its exit code."""
    process = await asyncio.create_subprocess_exec(
        *_COMMAND,
        env=settings.environment(),
        # A worker whose standard input ends has lost its parent, and stops.
        stdin=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        return await process.wait()
    finally:
        if process.returncode is None:
            await _stop(process, settings.drain_seconds + _GRACE)


async def _stop(process: asyncio.subprocess.Process, grace: float) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(grace):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
