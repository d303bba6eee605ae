"""What faults are done to, with a proxy on every way that may break."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.faults.executor_processes import ExecutorProcess
from tests.faults.executor_processes import started as executing
from tests.faults.fleet import Fleet
from tests.faults.torture import TENANT
from tests.support.proxy import Proxy
from tests.support.replicas import Replica, started
from tests.support.stores import Valkey, postgres, valkey_home
from vwed.client import connect


@dataclass(frozen=True, kw_only=True)
class Breakable:
    database_url: str
    valkey: Valkey
    replicas: Sequence[Replica]
    executors: Sequence[ExecutorProcess]
    fleet: Fleet
    """Has two clients of each server, of which one goes through a proxy."""
    to_redis: Sequence[Proxy]
    """One for each server, as the next two."""
    to_clients: Sequence[Proxy]
    to_executors: Sequence[Proxy]


@asynccontextmanager
async def breakable(
    home: Path,
    seed: int,
    *,
    options: Sequence[Sequence[str]],
    executors: Mapping[str, Sequence[int]],
) -> AsyncIterator[Breakable]:
    """All of it runs.

    `options` has those of each server on the command line; `executors` says which of the servers
    each process of executors knows.
    """
    async with AsyncExitStack() as stack:
        database_url = await stack.enter_async_context(postgres(home))
        valkey = Valkey(stack.enter_context(valkey_home()))
        stack.callback(valkey.stop)
        await valkey.start()

        async def proxy(host: str, port: int = 0) -> Proxy:
            return await stack.enter_async_context(Proxy(host, port))

        to_redis = [await proxy(valkey.socket) for _ in options]
        replicas = [
            Replica(database_url, f"redis://127.0.0.1:{way.port}", home / f"replica-{n}.log", *more)
            for n, (way, more) in enumerate(zip(to_redis, options, strict=True))
        ]
        to_clients = [await proxy("127.0.0.1", server.port) for server in replicas]
        to_executors = [await proxy("127.0.0.1", server.port) for server in replicas]
        processes = [
            ExecutorProcess(
                name,
                "ipv4:" + ",".join(f"127.0.0.1:{to_executors[n].port}" for n in known),
                TENANT,
                home,
            )
            for name, known in executors.items()
        ]
        await stack.enter_async_context(started(*replicas))
        await stack.enter_async_context(executing(*processes))
        clients = [
            await stack.enter_async_context(
                connect(target, tenant=TENANT, actor="torture", bare=True)
            )
            for server, front in zip(replicas, to_clients, strict=True)
            for target in (server.target, f"127.0.0.1:{front.port}")
        ]
        fleet = Fleet(clients, seed)
        await fleet.define()
        yield Breakable(
            database_url=database_url,
            valkey=valkey,
            replicas=replicas,
            executors=processes,
            fleet=fleet,
            to_redis=to_redis,
            to_clients=to_clients,
            to_executors=to_executors,
        )
