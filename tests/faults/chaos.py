"""What is done to servers, stores and wires while clients work; and when, for the judge."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import psycopg

from tests.faults.breakable import Breakable
from tests.faults.errors_met import Befallen
from tests.faults.executor_processes import LEASE
from tests.faults.weather import Weather

Fault = Callable[[], Awaitable[None]]


@dataclass(kw_only=True)
class Chaos:
    """Three strands of faults, so that they meet: servers die in one, executors in another, and all
    else is in the third.
    """

    on: Breakable
    random: random.Random
    weather: Weather = field(default_factory=Weather)
    done: Counter[str] = field(default_factory=Counter)
    times: list[Befallen] = field(default_factory=list)

    async def until(self, end: float) -> None:
        """Goes on until `end` (monotonic seconds), and at least until each was done once."""
        strands: Sequence[tuple[float, Sequence[Fault]]] = (
            (2.0, (self.kill, self.stop)),
            (
                0.5,
                (
                    self.freeze_executors,
                    self.kill_executors,
                    self.stop_executors,
                    self.cut_off_executors,
                ),
            ),
            (
                0.5,
                (
                    self.flush_redis,
                    self.stop_redis,
                    self.terminate_backends,
                    self.cut_redis,
                    self.cut_clients,
                    self.delay_redis,
                    self.freeze_redis,
                ),
            ),
        )
        async with asyncio.TaskGroup() as tasks:
            for pause, faults in strands:
                tasks.create_task(self._strand(faults, end, pause))

    async def _strand(self, faults: Sequence[Fault], end: float, pause: float) -> None:
        """In any order, again and again; `pause` is the seconds between two on the average."""
        due = list[Fault]()
        while time.monotonic() < end or not all(self.done[fault.__name__] for fault in faults):
            due = due or self.random.sample(faults, len(faults))
            await asyncio.sleep(self.random.uniform(0, 2 * pause))
            await self.befall(due.pop())

    async def befall(self, fault: Fault) -> None:
        began = time.time()
        await fault()
        self.done[fault.__name__] += 1
        self.times.append(Befallen(fault.__name__, began, time.time()))

    async def kill(self) -> None:
        """SIGKILL, and back after a while; sometimes there is no replica at all meanwhile."""
        killed = self.random.sample(self.on.replicas, self.random.choice([1, 1, 2]))
        for replica in killed:
            replica.kill()
        await asyncio.sleep(self.random.uniform(0, 2))
        await asyncio.gather(*(replica.start() for replica in killed))
        self.done["kill all"] += len(killed) == len(self.on.replicas)

    async def stop(self) -> None:
        """SIGTERM: it drains, and is back at once."""
        replica = self.random.choice(self.on.replicas)
        await asyncio.to_thread(replica.stop)
        await replica.start()

    async def kill_executors(self) -> None:
        process = self.random.choice(self.on.executors)
        await process.kill()
        await asyncio.sleep(self.random.uniform(0, LEASE))
        await process.start()

    async def stop_executors(self) -> None:
        process = self.random.choice(self.on.executors)
        await process.stop()
        await process.start()

    async def freeze_executors(self) -> None:
        """Within their lease, or beyond it and what follows from that."""
        await self.random.choice(self.on.executors).freeze(LEASE * self.random.uniform(0.5, 2.5))

    async def cut_off_executors(self) -> None:
        """From one replica, while the other sees their leases run out."""
        way = self.random.choice(self.on.to_executors)
        way.freeze()
        await asyncio.sleep(LEASE * self.random.uniform(0.5, 2.5))
        await way.cut()
        way.thaw()

    async def stop_redis(self) -> None:
        began = time.time()
        self.on.valkey.stop()
        await asyncio.sleep(self.random.uniform(2, 4))
        self.weather.redis_away.append((began, time.time()))
        await self.on.valkey.start()

    async def flush_redis(self) -> None:
        await self.on.valkey.command("FLUSHALL")
        await self.on.valkey.command("SCRIPT", "FLUSH")

    async def terminate_backends(self) -> None:
        """Several times in a row, so that some retries are hit as well."""
        async with await psycopg.AsyncConnection.connect(
            self.on.database_url, autocommit=True
        ) as connection:
            for _ in range(self.random.randrange(1, 4)):
                await connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name LIKE 'vwed-grpc%' AND random() < 0.7"
                )
                await asyncio.sleep(self.random.uniform(0, 0.05))

    async def cut_redis(self) -> None:
        for proxy in self.on.to_redis:
            if self.random.random() < 0.7:
                await proxy.cut()
        # Wake-ups that say nothing of their loss: subscribers alone are thrown out.
        await self.on.valkey.command("CLIENT", "KILL", "TYPE", "pubsub")

    async def cut_clients(self) -> None:
        for proxy in (*self.on.to_clients, *self.on.to_executors):
            await proxy.cut()

    async def delay_redis(self) -> None:
        """Around the time-outs, so that some answers come just too late."""
        for proxy in self.on.to_redis:
            proxy.delay = self.random.uniform(0.01, 0.15)
        await asyncio.sleep(self.random.uniform(1, 2))
        for proxy in self.on.to_redis:
            proxy.delay = 0

    async def freeze_redis(self) -> None:
        proxy = self.random.choice(self.on.to_redis)
        proxy.freeze()
        await asyncio.sleep(self.random.uniform(0.5, 3))
        proxy.thaw()
