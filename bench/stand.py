"""The test stand: stores on the core of the load, servers on the other."""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.process import (
    LOAD_CORE,
    ROOT,
    SERVER_CORE,
    Process,
    environment,
    pinned,
    python,
    wait_until,
)
from vwed_grpc import embedded

_COMMAND = [sys.executable, "-c", "from vwed_grpc.cli.main import main; main()"]


@dataclass(frozen=True)
class Server:
    target: str
    process: Process
    metrics: str = ""
    """Where it shows them."""


@dataclass(frozen=True)
class Stores:
    room: Path
    """For logs."""
    database_url: str
    redis_url: str


@dataclass(frozen=True)
class Stand:
    stores: Stores
    server: Server
    floor: Server
    tree: Path = ROOT
    """Of the server's source."""

    @contextmanager
    def another(
        self,
        name: str,
        cores: Sequence[int] = (SERVER_CORE,),
        *,
        command: Sequence[str] = _COMMAND,
        shows: bool = True,
        **settings: str,
    ) -> Iterator[Server]:
        """A further server on the same stores; settings by their VWED_ name."""
        with serving(
            self.stores,
            name,
            cores=cores,
            tree=self.tree,
            command=command,
            shows=shows,
            **settings,
        ) as server:
            yield server


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def serving(
    stores: Stores,
    name: str,
    *,
    cores: Sequence[int] = (SERVER_CORE,),
    tree: Path = ROOT,
    command: Sequence[str] = _COMMAND,
    shows: bool = True,
    **settings: str,
) -> Iterator[Server]:
    """`vwed-grpc serve` on its core, or cores; whether it `shows` its metrics."""
    target, metrics = (f"127.0.0.1:{free_port()}" for _ in range(2))
    env = {
        "VWED_LISTEN": target,
        "VWED_DATABASE_URL": stores.database_url,
        "VWED_REDIS_URL": stores.redis_url,
        **({"VWED_METRICS_LISTEN": metrics} if shows else {}),
        **settings,
    }
    log = stores.room / f"{name}.log"
    with pinned([*command, "serve"], log, cores=cores, env=env, tree=tree) as process:
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
async def embedded_stores(database_url: str | None = None) -> AsyncIterator[Stores]:
    """PostgreSQL and Valkey; `database_url` names an empty database of another server."""
    async with AsyncExitStack() as stack:
        room = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vwed-bench-")))
        await stack.enter_async_context(embedded.lock_data_dir(room))
        if database_url is None:
            database_url = await stack.enter_async_context(embedded.postgres(room))
        redis_url = await stack.enter_async_context(embedded.valkey(room))
        yield Stores(room, database_url, redis_url)


@contextmanager
def stand_on(stores: Stores, name: str = "server", tree: Path = ROOT) -> Iterator[Stand]:
    """A server of a source tree, with a schema of its own making, and the floor."""
    migrate = [*_COMMAND, "migrate", "--database-url", stores.database_url]
    subprocess.run(migrate, cwd=tree, env=environment(tree), stdout=subprocess.DEVNULL, check=True)
    with serving(stores, name, tree=tree) as server, floor(stores.room) as constant:
        yield Stand(stores, server, constant, tree)


@asynccontextmanager
async def stand(database_url: str | None = None) -> AsyncIterator[Stand]:
    """Everything that the cases need; `database_url` names an empty database of another server."""
    os.sched_setaffinity(0, {LOAD_CORE})  # what is started from here on runs there too
    async with embedded_stores(database_url) as stores:
        with stand_on(stores) as made:
            yield made
