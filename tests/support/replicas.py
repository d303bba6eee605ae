"""Server processes: real ones, for only those can be killed."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest

_COMMAND = (sys.executable, "-c", "from vwed_grpc.cli.main import main; main()")
_START_SECONDS = 120


class Replica:
    """One server, on the same port through all its lives."""

    def __init__(
        self,
        database_url: str,
        redis_url: str,
        log: Path,
        *options: str,
        tree: Path | None = None,
    ) -> None:
        """`tree` has the code that it runs, if it is another than this."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.target = f"127.0.0.1:{self.port}"
        self.log = log
        self.database_url = database_url
        self._command = [
            *(*_COMMAND, "serve", "--listen", self.target),
            *("--database-url", database_url, "--redis-url", redis_url, *options),
        ]
        self._environment = os.environ | (
            {"PYTHONPATH": f"{tree}:{tree / 'client'}:{tree / 'generated'}"} if tree else {}
        )
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Returns once it serves."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - takes no time
                self._command, stdout=log, stderr=log, cwd="/", env=self._environment
            )
        # A channel of its own: the others may be amid a pause between two tries.
        options = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_reconnect_backoff_ms", 100))
        async with grpc.aio.insecure_channel(self.target, options=options) as channel:
            health: Any = channel.unary_unary("/grpc.health.v1.Health/Check")
            until = time.monotonic() + _START_SECONDS
            while time.monotonic() < until and self._process.poll() is None:
                with suppress(grpc.aio.AioRpcError):
                    await health(b"", wait_for_ready=True, timeout=1)
                    return
        pytest.fail(f"a replica does not start:\n{self.log.read_text()[-2000:]}")

    def run(self, *words: str) -> str:
        """What another command of the same code prints."""
        done = subprocess.run(
            [*_COMMAND, *words],
            cwd="/",
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def rss(self) -> int:
        """Bytes of memory that it has, in RAM."""
        resident_pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return resident_pages * os.sysconf("SC_PAGE_SIZE")

    def faults(self) -> list[str]:
        """What it logged that should never happen, whatever is done to it."""
        grave = ("internal error", "background work failed", "Traceback", "never retrieved")
        lines = self.log.read_text(errors="replace").splitlines()
        return [
            "\n".join(lines[n : n + 40])
            for n, line in enumerate(lines)
            if any(word in line for word in grave)
        ]


@asynccontextmanager
async def replica(
    database_url: str, redis_url: str, log: Path, *options: str, tree: Path | None = None
) -> AsyncIterator[Replica]:
    server = Replica(database_url, redis_url, log, *options, tree=tree)
    async with started(server):
        yield server


@asynccontextmanager
async def started(*servers: Replica) -> AsyncIterator[None]:
    """All at once, for each takes a while."""
    try:
        await asyncio.gather(*(server.start() for server in servers))
        yield
    finally:
        for server in servers:
            server.kill()
