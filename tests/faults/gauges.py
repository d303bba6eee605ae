"""What a service and its stores take at a time: memory, files, threads, connections, rows, keys."""

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from redis.asyncio import Redis
from redis.exceptions import RedisError

from tests.faults.errors_met import Met
from tests.faults.growth import Name, Rule, Sample
from tests.faults.leftovers import TABLES
from tests.faults.mishaps import LIVES
from tests.support.metrics_page import figures
from tests.support.process import family, worker

SAMPLE_SECONDS = 5.0
ANSWER_SECONDS = 2.0
"""A store that is frozen is not read this time."""

_MINUTE = 60.0
"""How often the service looks for what is to be removed."""
_SETTLED = 3 * _MINUTE
"""The first of what there is lives for two minutes, and is gone a minute later at the latest."""
RULES: Mapping[str, Rule] = {
    "memory": Rule("MiB", settles=_MINUTE, floor=1),
    # Whenever the other worker is killed, callers find themselves at this one, more or fewer.
    "memory with some of the callers": Rule("MiB", settles=_MINUTE, floor=16),
    # A process of PostgreSQL remembers how it did what it was asked: some MiB within minutes. It
    # ends with its connection, so the sum says how long ago connections were cut.
    "private memory": Rule("MiB", judged=False),
    "private memory of its largest process": Rule("MiB", settles=_SETTLED, floor=4),
    # A connection that takes the place of a broken one is there beside it for a moment.
    "open files": Rule("", settles=_MINUTE, floor=2),
    "open files but sockets": Rule("", settles=_MINUTE, floor=2),
    # gRPC's core has a pool of threads that come and go as they are needed.
    "threads": Rule("", settles=_MINUTE, floor=2),
    "connections": Rule("", settles=_MINUTE, floor=2),
    # A pool opens them as they are needed: fewer, after some were cut. A process has up to 18.
    "connections in pools": Rule("", settles=_MINUTE, floor=18),
    # Watchers and callers who pause come and go by chance.
    "open calls": Rule("", floor=20),
    "open streams": Rule("", floor=20),
    "keys": Rule("", settles=_MINUTE, floor=50),
    # Tables and their indexes grow by pages, and by what the last VACUUM has not yet found.
    "size": Rule("MiB", settles=_SETTLED, floor=2),
    # What is to go waits up to a minute.
    "age of the oldest": Rule("s", settles=_SETTLED, floor=_MINUTE),
    "how long they are over": Rule("s", settles=_SETTLED, floor=_MINUTE),
    "cores busy": Rule("", judged=False),
}

_TABLES = """
    SELECT relname, pg_total_relation_size(oid) / 1048576.0 FROM pg_class
     WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
"""
_AGES = """
    SELECT 'events', 'age of the oldest',
           extract(epoch FROM clock_timestamp() - min(event_time)) FROM task_record_events
    UNION ALL
    SELECT 'ended runs', 'age of the oldest',
           extract(epoch FROM clock_timestamp() - min(end_time)) FROM task_records
    UNION ALL
    SELECT 'request ids', 'how long they are over',
           extract(epoch FROM clock_timestamp() - min(expire_time)) FROM idempotency_keys
    UNION ALL
    SELECT 'entries', 'how long they are over',
           extract(epoch FROM clock_timestamp() - min(expire_time)) FROM data_cache
"""
_CONNECTIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'vwed-grpc%'"


@dataclass
class Gauges:
    """Reads all of them, and the servers' own pages as well."""

    alone: int
    """The process that serves alone."""
    parent: int
    """The one that has workers, of which the first one lives."""
    postmaster: int
    pages: Sequence[str]
    """Where the servers show their metrics."""
    database_url: str
    redis_socket: str
    samples: list[Sample] = field(default_factory=list)
    met: list[Met] = field(default_factory=list)
    """Codes that the servers answered anybody with, when they were counted."""
    _answered: dict[tuple[str, str], float] = field(default_factory=dict)

    async def go_on(self) -> None:
        """Samples until cancelled."""
        began = time.monotonic()
        while True:
            busy, at = _busy(), time.monotonic()
            await asyncio.sleep(SAMPLE_SECONDS)
            share = (_busy() - busy) / (time.monotonic() - at)
            found = {("the machine", "cores busy"): share}
            found |= await asyncio.to_thread(self._processes)
            for read in (self._postgres, self._redis, self._servers):
                with suppress(OSError, TimeoutError, psycopg.Error, RedisError):
                    async with asyncio.timeout(ANSWER_SECONDS):
                        found |= await read()
            self.samples.append(Sample(time.monotonic() - began, found))

    def _processes(self) -> dict[Name, float]:
        alone, parent, lives = "the server alone", "the workers' parent", "the worker that lives"
        lives_pid = worker(self.parent, LIVES)
        stores = [*map(_private_mib, family(self.postmaster))]
        return {
            (alone, "memory"): _status(self.alone, "VmRSS") / 1024,
            (alone, "open files"): len(_files(self.alone)),
            (alone, "threads"): _status(self.alone, "Threads"),
            (parent, "memory"): _status(self.parent, "VmRSS") / 1024,
            (parent, "open files"): len(_files(self.parent)),
            (parent, "threads"): _status(self.parent, "Threads"),
            (lives, "memory with some of the callers"): _status(lives_pid, "VmRSS") / 1024,
            (lives, "open files but sockets"): sum("socket" not in f for f in _files(lives_pid)),
            (lives, "threads"): _status(lives_pid, "Threads"),
            ("PostgreSQL", "private memory"): sum(stores),
            ("PostgreSQL", "private memory of its largest process"): max(stores),
        }

    async def _postgres(self) -> dict[Name, float]:
        found: dict[Name, float] = {}
        async with await psycopg.AsyncConnection.connect(self.database_url) as connection:
            for (count,) in await (await connection.execute(_CONNECTIONS)).fetchall():
                found["PostgreSQL", "connections in pools"] = count
            for table, mib in await (await connection.execute(_TABLES)).fetchall():
                name = (f"table {table}" if table in TABLES else "all other tables"), "size"
                found[name] = found.get(name, 0.0) + float(mib)
            for who, what, age in await (await connection.execute(_AGES)).fetchall():
                found[who, what] = max(float(age or 0), 0.0)
        return found

    async def _redis(self) -> dict[Name, float]:
        async with Redis(unix_socket_path=self.redis_socket) as redis:
            told = await redis.info()
            keys = await redis.dbsize()
        return {
            ("Redis", "memory"): told["used_memory"] / 2**20,
            ("Redis", "keys"): keys,
            ("Redis", "connections"): told["connected_clients"],
        }

    async def _servers(self) -> dict[Name, float]:
        found: dict[Name, float] = {}
        for page in self.pages:
            told = await figures(page)
            self._count(page, told)
            for what in ("open calls", "open streams"):
                name = f"vwed_{what.replace(' ', '_')}"
                number = sum(value for key, value in told.items() if key.startswith(name))
                found["the servers", what] = found.get(("the servers", what), 0.0) + number
        return found

    def _count(self, page: str, told: Mapping[str, float]) -> None:
        """Notes which codes came since the last look."""
        for key, value in told.items():
            if key.startswith("vwed_calls_total") and value > self._answered.get((page, key), 0.0):
                self._answered[page, key] = value
                method, code = (_label(key, name) for name in ("method", "code"))
                if not _good(method, code):
                    self.met.append(Met(time.time(), f"{method}, by the server's page", code))


def _good(method: str, code: str) -> bool:
    """Whether it is an answer of every day; callers who leave, and half-sent uploads, are."""
    half_sent = (method, code) == ("SetDataCache", "RESOURCE_EXHAUSTED")
    return code in {"OK", "CANCELLED"} or half_sent


def _label(key: str, name: str) -> str:
    return key.partition(f'{name}="')[2].partition('"')[0]


def _status(pid: int, name: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return float(line.split()[1])
    return 0.0


def _files(pid: int) -> list[str]:
    """What the process has open."""
    found = list[str]()
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            found.append(str(file.readlink()))
    return found


def _private_mib(pid: int) -> float:
    """Of what is no file and not shared with others."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss_Anon:"):
                return int(line.split()[1]) / 1024
    return 0.0


def _busy() -> float:
    """Seconds for which cores were busy so far, all together."""
    ticks = [*map(int, Path("/proc/stat").read_text().partition("\n")[0].split()[1:9])]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")
