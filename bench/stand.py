"""The test stand: stores on the core of the load, servers on the other."""

import os
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.process import LOAD_CORE, SERVER_CORE, Process, pinned, python, wait_until
from vwed_grpc import embedded
from vwed_grpc.storage import schema
from vwed_grpc.storage.database import sync_engine

_SERVE = [sys.executable, "-c", "from vwed_grpc.cli.main import main; main()", "serve"]


@dataclass(frozen=True)
class Server:
    target: str
    process: Process
    metrics: str = ""
    """Where it shows them."""


@dataclass(frozen=True)
class Stand:
    database_url: str
    redis_url: str
    room: Path
    server: Server
    floor: Server

    @contextmanager
    def another(
        self, name: str, cores: Sequence[int] = (SERVER_CORE,), **settings: str
    ) -> Iterator[Server]:
        """A further server on the same stores; settings by their VWED_ name."""
        with serving(
            self.room, self.database_url, self.redis_url, name, cores=cores, **settings
        ) as server:
            yield server


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def serving(
    room: Path,
    database_url: str,
    redis_url: str,
    name: str,
    cores: Sequence[int] = (SERVER_CORE,),
    **settings: str,
) -> Iterator[Server]:
    """`vwed-grpc serve` on its core, or cores."""
    target, metrics = (f"127.0.0.1:{free_port()}" for _ in range(2))
    env = {
        "VWED_LISTEN": target,
        "VWED_METRICS_LISTEN": metrics,
        "VWED_DATABASE_URL": database_url,
        "VWED_REDIS_URL": redis_url,
        **settings,
    }
    log = room / f"{name}.log"
    with pinned(_SERVE, log, cores=cores, env=env) as process:
        wait_until(log, "listening")
        yield Server(target, process, metrics)


@contextmanager
def floor(room: Path, *arguments: str) -> Iterator[Server]:
    target = f"127.0.0.1:{free_port()}"
    log = room / "floor.log"
    with pinned(python("bench.floor", target, *arguments), log) as process:
        wait_until(log, "listening")
        yield Server(target, process)


@asynccontextmanager
async def stand(database_url: str | None = None) -> AsyncIterator[Stand]:
    """Everything that the cases need; `database_url` names an empty database of another server."""
    os.sched_setaffinity(0, {LOAD_CORE})  # what is started from here on runs there too
    async with AsyncExitStack() as stack:
        room = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vwed-bench-")))
        await stack.enter_async_context(embedded.lock_data_dir(room))
        if database_url is None:
            database_url = await stack.enter_async_context(embedded.postgres(room))
        redis_url = await stack.enter_async_context(embedded.valkey(room))
        engine = sync_engine(database_url)
        schema.migrate(engine)
        engine.dispose()
        server = stack.enter_context(serving(room, database_url, redis_url, "server"))
        yield Stand(database_url, redis_url, room, server, stack.enter_context(floor(room)))
