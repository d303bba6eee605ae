"""etcd: put, range, and from put to the watch event; its messages are made by hand."""

import itertools
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.frames import Connection
from bench.load import pump
from bench.measure import Shape, various
from bench.peers.debian_postgres import NotInstalledError
from bench.process import pinned, wait_until
from bench.stand import Server, free_port
from bench.watches import CONNECTIONS, paced
from vwed_grpc.domain.wire_format import field

SHAPE = Shape(callers=64)
_PUT, _RANGE, _WATCH = "/etcdserverpb.KV/Put", "/etcdserverpb.KV/Range", "/etcdserverpb.Watch/Watch"
_VALUE = b"value of thirty bytes or so ..."


@contextmanager
def etcd(room: Path) -> Iterator[Server]:
    """One member on the server's core. Raises NotInstalledError."""
    command = shutil.which("etcd")
    if command is None:
        raise NotInstalledError("etcd is not installed: apt-get install etcd-server")
    clients, members = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    log = room / "etcd.log"
    options = {
        "data-dir": str(room / "etcd"),
        "listen-client-urls": clients,
        "advertise-client-urls": clients,
        "listen-peer-urls": members,
        "initial-advertise-peer-urls": members,
        "initial-cluster": f"default={members}",
    }
    with pinned([command, *(f"--{name}={value}" for name, value in options.items())], log) as own:
        wait_until(log, "ready to serve client requests")
        yield Server(clients.removeprefix("http://"), own)


def measure(server: Server, seconds: float) -> dict[str, float]:
    """Calls a second, and milliseconds."""
    puts = (_put(f"key-{n % 1000}".encode()) for n in itertools.count())
    figures = {"put": various(server, _PUT, puts, SHAPE, seconds).rate}
    ranges = (field(1, f"key-{n % 1000}".encode()) for n in itertools.count())
    figures["range"] = various(server, _RANGE, ranges, SHAPE, seconds).rate
    for watchers in (1, 100):
        p50, p99 = _latency(server, watchers, seconds)
        figures[f"p50 ms, {watchers}"], figures[f"p99 ms, {watchers}"] = p50, p99
    return figures


def _put(key: bytes) -> bytes:
    return field(1, key) + field(2, _VALUE)


class _Watcher:
    """The first message says that the watch stands, each other one has an event."""

    def __init__(self, connection: Connection, key: bytes) -> None:
        self.events = -1
        self.arrivals: list[float] = []
        self._connection = connection
        connection.send(connection.open(_WATCH, self), field(1, field(1, key)))

    def message(self, body: bytes) -> None:  # noqa: ARG002 - one key, one event a message
        self.events += 1
        if self.events:
            self.arrivals.append(self._connection.received_at)

    def end(self) -> None:
        raise RuntimeError("etcd ended a watch")


class _Writer:
    def __init__(self, connection: Connection, key: bytes) -> None:
        self.sent: list[float] = []
        self.failed = 0
        self._connection = connection
        self._request = _put(key)

    def send(self) -> None:
        self.sent.append(time.perf_counter())
        self._connection.open(_PUT, self, self._request)

    def message(self, body: bytes) -> None: ...

    def end(self) -> None: ...


def _latency(server: Server, count: int, seconds: float) -> tuple[float, float]:
    key = f"watched-{count}".encode()
    wires = [Connection(server.target) for _ in range(min(count, CONNECTIONS))]
    watchers = [_Watcher(wires[n % len(wires)], key) for n in range(count)]
    if not pump(wires, lambda: all(w.events == 0 for w in watchers), 10):
        raise TimeoutError("etcd's watches do not stand")
    wire = Connection(server.target)
    spans = paced([wire, *wires], watchers, _Writer(wire, key), seconds)
    return spans.quantile(0.5) * 1e3, spans.quantile(0.99) * 1e3
