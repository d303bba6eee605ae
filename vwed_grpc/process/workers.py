"""Several serving processes on one port: started, watched, and restarted when they die.

The kernel spreads connections over them (SO_REUSEPORT). This process makes no gRPC object: it holds
the port and what is embedded, and each worker is a fresh process of the same command.
"""

import asyncio
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import structlog
from prometheus_client import CollectorRegistry

from vwed_grpc.process import pages, probes
from vwed_grpc.process.listening import check_address
from vwed_grpc.process.stores import CannotServeError, open_stores
from vwed_grpc.process.worker_reports import follow_worker
from vwed_grpc.settings import NO_REDIS, Settings
from vwed_grpc.telemetry import multiprocess
from vwed_grpc.telemetry.disk import show_disk
from vwed_grpc.telemetry.page import page_of

log = structlog.get_logger("vwed.workers")

_COMMAND = (sys.executable, "-c", "from vwed_grpc.cli.main import main; main()", "serve")
_FIRST_PAUSE, _LAST_PAUSE = 0.1, 10.0
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
        _check_files(settings)
        port = _hold_port(stack, settings.listen)
        problems = {_name(number): "starting" for number in range(settings.workers)}
        shown: dict[str, pages.MakePage] = {
            "/livez": probes.livez,
            "/readyz": probes.readyz(problems, tolerated=settings.workers - 1),
        }
        if settings.metrics_listen:
            await stack.enter_async_context(pages.showing(settings.metrics_listen, shown))
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
            registry = CollectorRegistry()
            child.metrics_dir = stack.enter_context(multiprocess.gathered(registry))
            if stores.data:
                show_disk(registry, stores.data)
            shown["/metrics"] = page_of(registry)
        tasks = [
            asyncio.create_task(_keep(n, child.model_copy(update={"worker": n}), problems))
            for n in range(settings.workers)
        ]

        async def end() -> None:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

        stack.push_async_callback(end)
        await _first_answer(child.listen)
        yield port


def _check_files(settings: Settings) -> None:
    """Says once what each worker would die of. Raises CannotServeError."""
    tls = settings.tls_cert or settings.tls_key or settings.tls_client_ca
    if tls or settings.token_keys or settings.audit_log != "off":
        # It needs what verifies tokens and certificates, and this process nothing else of it.
        from vwed_grpc.process.security import check_files  # noqa: PLC0415 - see above

        check_files(settings)


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


def _name(number: int) -> str:
    return f"worker {number}"


async def _keep(number: int, settings: Settings, problems: dict[str, str]) -> None:
    """One worker after the other, until cancelled; what keeps it from serving is in `problems`."""
    pause = _FIRST_PAUSE
    while True:
        began = time.monotonic()
        try:
            code: int | str = await _work(settings, partial(_note, problems, _name(number)))
        except OSError as exc:  # no memory, no process left: a moment later there may be
            code = repr(exc)
        problems[_name(number)] = "died"
        if settings.metrics_dir is not None:
            multiprocess.forget(settings.metrics_dir, number)
        if time.monotonic() - began > _YOUNG:
            pause = _FIRST_PAUSE
        log.warning("worker died", worker=number, code=code, restart_in=pause)
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LAST_PAUSE)


def _note(problems: dict[str, str], name: str, problem: str | None) -> None:
    problems.pop(name, None)
    if problem is not None:
        problems[name] = problem


async def _work(settings: Settings, tell: Callable[[str | None], None]) -> int:
    """One worker, until it ends or this is cancelled; answers its exit code."""
    ours, its = socket.socketpair()
    with ours, its:
        process = await asyncio.create_subprocess_exec(
            *_COMMAND,
            env=settings.environment(),
            # A worker whose standard input ends has lost its parent, and stops.
            stdin=its.fileno(),
            start_new_session=True,
        )
        its.close()
        following = asyncio.create_task(follow_worker(ours, tell))
        try:
            return await process.wait()
        finally:
            if process.returncode is None:
                await _stop(process, settings.drain_seconds + _GRACE)
            following.cancel()
            await asyncio.wait([following])


async def _stop(process: asyncio.subprocess.Process, grace: float) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(grace):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
