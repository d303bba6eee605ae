"""Redis of several servers, of a test's own: a primary with replica and Sentinels, a cluster."""

import asyncio
import shutil
import signal
import socket
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from redis.asyncio import Redis
from redis.exceptions import RedisError

from tests.support.redis_server import PROGRAM
from tests.support.waiting import until_true

TIMEOUT_MS = 1000
"""After which a primary that is silent counts as gone."""
SLOTS = 16384
MASTER = "vwed"
"""Under this name the Sentinels know the primary."""


class User(NamedTuple):
    """Who alone is let in; the servers know each other by the same password."""

    name: str
    password: str

    @property
    def options(self) -> list[str]:
        return [
            f"user {self.name} on >{self.password} ~* &* +@all",
            f"requirepass {self.password}",
        ]


class Server:
    """One process, at the same port through all its lives."""

    def __init__(
        self, home: Path, *options: str, sentinel: bool = False, user: User | None = None
    ) -> None:
        self.port = _free_port()
        self._user = user
        self._home = home / str(self.port)
        self._home.mkdir()
        config = self._home / "redis.conf"
        lines = [*options, *(user.options if user else [])]
        config.write_text("\n".join(lines))  # Sentinel keeps there what it learns
        self._command = [
            *(PROGRAM, str(config), *(["--sentinel"] if sentinel else [])),
            *("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._home)),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        with (self._home / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)  # noqa: ASYNC220 - takes no time
        await until_true(self._answers, what="the server's answer")

    async def _answers(self) -> bool:
        with suppress(RedisError, OSError):
            return bool(await self.command("PING"))
        return False

    def send(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    async def command(self, *words: str | int) -> Any:
        name, password = self._user or (None, None)
        async with Redis(
            port=self.port, username=name, password=password, socket_timeout=5, protocol=2
        ) as redis:
            return await redis.execute_command(*words)  # type: ignore[no-untyped-call]  # untyped in redis-py

    async def replication(self) -> dict[str, Any]:
        found: dict[str, Any] = await self.command("INFO", "replication")
        return found

    async def is_replica(self) -> bool:
        """Whether it has all that its primary has."""
        return (await self.replication()).get("master_link_status") == "up"


class Servers:
    """Those of one test."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._all: list[Server] = []

    async def start(
        self, *options: str, sentinel: bool = False, user: User | None = None
    ) -> Server:
        server = Server(self._home, *options, sentinel=sentinel, user=user)
        self._all.append(server)
        await server.start()
        return server

    def end(self) -> None:
        for server in self._all:
            server.kill()


PLAIN = ('save ""', "repl-diskless-sync-delay 0", "repl-diskless-load swapdb")


@contextmanager
def redis_servers() -> Iterator[Servers]:
    home = Path(tempfile.mkdtemp(prefix="vwed-redis-"))
    servers = Servers(home)
    try:
        yield servers
    finally:
        servers.end()
        shutil.rmtree(home, ignore_errors=True)


class Redundant(ABC):
    """Servers of which two have the same data, so that either may go."""

    members: Sequence[Server]
    """The two."""
    url: str

    @abstractmethod
    async def _primary(self) -> Server | None:
        """Which of the two it is, for those who ask."""

    async def primary(self) -> Server:
        found: Server | None = await until_true(self._primary, what="a primary")
        assert found is not None
        return found

    @abstractmethod
    async def is_well(self) -> bool:
        """Whether all know that, and the other has all data."""

    @abstractmethod
    async def switch(self) -> None:
        """Makes the other the primary in good order."""

    async def other(self) -> Server:
        primary = await self.primary()
        return next(one for one in self.members if one is not primary)

    async def follows(self, primary: Server) -> None:
        """Returns once another one has taken over."""

        async def has() -> bool:
            return await self.primary() is not primary

        await until_true(has, what="another primary")

    async def recover(self) -> None:
        await until_true(self.is_well, what="that all is well")


class SentinelSet(Redundant):
    """A primary, a replica and three Sentinels."""

    def __init__(
        self,
        members: Sequence[Server],
        sentinels: Sequence[Server],
        *,
        user: User | None,
        watcher: User | None,
    ) -> None:
        self.members = members
        self.sentinels = sentinels
        hosts = ",".join(f"127.0.0.1:{one.port}" for one in sentinels)
        sign_on = f"{user.name}:{quote(user.password, safe='')}@" if user else ""
        self.url = f"redis+sentinel://{sign_on}{hosts}/{MASTER}"
        if watcher:
            own = {"sentinel_username": watcher.name, "sentinel_password": watcher.password}
            self.url += "?" + urlencode(own)

    async def _primary(self) -> Server | None:
        _, port = await self.sentinels[0].command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER)
        return next((one for one in self.members if one.port == int(port)), None)

    async def is_well(self) -> bool:
        states = [await _state(sentinel) for sentinel in self.sentinels]
        seen = {(one["port"], one["flags"], one["num-other-sentinels"]) for one in states}
        replicas = [await one.command("SENTINEL", "REPLICAS", MASTER) for one in self.sentinels]
        port = str((await self.primary()).port)
        other = await (await self.other()).replication()
        return (
            seen == {(port, "master", "2")}
            and {len(found) for found in replicas} == {1}
            and other.get("master_link_status") == "up"
            and str(other["master_port"]) == port
        )

    async def switch(self) -> None:
        primary = await self.primary()
        await self.sentinels[0].command("SENTINEL", "FAILOVER", MASTER)
        await self.follows(primary)


@asynccontextmanager
async def sentinel_set(
    *, user: User | None = None, watcher: User | None = None
) -> AsyncIterator[SentinelSet]:
    """`user` is let in by the servers, `watcher` by the Sentinels; None: everybody is."""
    with redis_servers() as servers:
        own = (*PLAIN, f"masterauth {user.password}") if user else PLAIN
        primary, replica = [await servers.start(*own, user=user) for _ in range(2)]
        await replica.command("REPLICAOF", "127.0.0.1", primary.port)
        await until_true(replica.is_replica, what="the replica")
        options = [
            f"sentinel monitor {MASTER} 127.0.0.1 {primary.port} 2",
            f"sentinel down-after-milliseconds {MASTER} {TIMEOUT_MS}",
            f"sentinel failover-timeout {MASTER} {10 * TIMEOUT_MS}",
        ]
        if user:
            options.append(f"sentinel auth-pass {MASTER} {user.password}")
        if watcher:
            options.append(f"sentinel sentinel-pass {watcher.password}")
        sentinels = [await servers.start(*options, sentinel=True, user=watcher) for _ in range(3)]
        for sentinel in sentinels:  # half as long, and a tenth, as they would take
            await sentinel.command(
                "SENTINEL", "DEBUG", *("PUBLISH-PERIOD", 1000), *("INFO-PERIOD", 1000)
            )
        found = SentinelSet([primary, replica], sentinels, user=user, watcher=watcher)
        await found.recover()
        yield found


async def _state(sentinel: Server) -> dict[str, str]:
    flat = [word.decode() for word in await sentinel.command("SENTINEL", "MASTER", MASTER)]
    return dict(zip(flat[::2], flat[1::2], strict=True))


class ClusterOfThree(Redundant):
    """Three primaries; the first has a replica."""

    def __init__(self, nodes: Sequence[Server]) -> None:
        self.nodes = nodes
        self.members = [nodes[0], nodes[3]]
        self.url = f"redis+cluster://127.0.0.1:{nodes[1].port},127.0.0.1:{nodes[2].port}"

    async def _primary(self) -> Server | None:
        shards = sorted(await self.nodes[1].command("CLUSTER", "SLOTS"))
        port = shards[0][2][1] if shards else 0
        return next((one for one in self.members if one.port == port), None)

    async def is_well(self) -> bool:
        views = [sorted(await node.command("CLUSTER", "SLOTS")) for node in self.nodes]
        states = [_figures(await node.command("CLUSTER", "INFO")) for node in self.nodes]
        other = await (await self.other()).replication()
        return (
            {state["cluster_state"] for state in states} == {"ok"}
            and {len(view) for view in views} == {3}
            and {len(view[0]) for view in views} == {4}
            and len({view[0][2][1] for view in views}) == 1
            and other.get("master_link_status") == "up"
        )

    async def switch(self) -> None:
        primary = await self.primary()
        await (await self.other()).command("CLUSTER", "FAILOVER")
        await self.follows(primary)


@asynccontextmanager
async def cluster_of_three() -> AsyncIterator[ClusterOfThree]:
    with redis_servers() as servers:
        options = (*PLAIN, "cluster-enabled yes", f"cluster-node-timeout {TIMEOUT_MS}")
        nodes = [await servers.start(*options, f"cluster-port {_free_port()}") for _ in range(4)]
        bounds = [n * SLOTS // 3 for n in range(4)]
        for node, first, after in zip(nodes, bounds, bounds[1:], strict=False):
            await node.command("CLUSTER", "ADDSLOTSRANGE", first, after - 1)
        for node in nodes[1:]:
            bus = await node.command("CONFIG", "GET", "cluster-port")
            await nodes[0].command("CLUSTER", "MEET", "127.0.0.1", node.port, int(bus[1]))
        await until_true(lambda: _all_know(nodes, 4), what="that all know each other")
        first = (await nodes[0].command("CLUSTER", "MYID")).decode()
        await nodes[3].command("CLUSTER", "REPLICATE", first)
        await until_true(nodes[3].is_replica, what="the replica")
        found = ClusterOfThree(nodes)
        await found.recover()
        yield found


async def _all_know(nodes: list[Server], count: int) -> bool:
    infos = await asyncio.gather(*(node.command("CLUSTER", "INFO") for node in nodes))
    return all(int(_figures(info)["cluster_known_nodes"]) == count for info in infos)


def _figures(info: bytes) -> dict[str, str]:
    return dict(line.split(":", 1) for line in info.decode().splitlines() if ":" in line)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
