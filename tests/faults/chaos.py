"""What is done to servers, stores and wires while clients work; and when, for the judge."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import psycopg

from tests.faults.weather import Weather
from tests.support.proxy import Proxy
from tests.support.replicas import Replica
from tests.support.stores import Valkey

KILLS, REDIS_OUTAGES = 3, 2
"""At least."""


@dataclass
class Chaos:
    """Two strands of faults, so that they meet: processes die in one, all else in the other."""

    replicas: Sequence[Replica]
    valkey: Valkey
    to_redis: Sequence[Proxy]
    to_replicas: Sequence[Proxy]
    database_url: str
    weather: Weather
    random: random.Random
    done: Counter[str] = field(default_factory=Counter)

    async def until(self, end: float) -> None:
        """Goes on until `end` (monotonic seconds), and at least until it has done so much."""
        async with asyncio.TaskGroup() as strands:
            strands.create_task(
                self._strand([self.kill], lambda: self.done["kill"] >= KILLS, end, pause=4.0)
            )
            faults = [
                self.flush_redis,
                self.stop_redis,
                self.terminate_backends,
                self.cut_redis,
                self.cut_clients,
                self.delay_redis,
                self.freeze_redis,
            ]
            strands.create_task(
                self._strand(
                    faults,
                    lambda: min(self.done["flush_redis"], self.done["stop_redis"]) >= REDIS_OUTAGES,
                    end,
                    pause=1.0,
                )
            )

    async def _strand(
        self,
        faults: Sequence[Callable[[], Awaitable[None]]],
        enough: Callable[[], bool],
        end: float,
        pause: float,
    ) -> None:
        while time.monotonic() < end or not enough():
            for fault in self.random.sample(faults, len(faults)):
                await asyncio.sleep(self.random.uniform(0, 2 * pause))
                await fault()
                self.done[fault.__name__] += 1
                if time.monotonic() >= end and enough():
                    break

    async def kill(self) -> None:
        """SIGKILL, and back after a while."""
        replica = self.random.choice(self.replicas)
        replica.kill()
        await asyncio.sleep(self.random.uniform(0, 2))
        await replica.start()

    async def stop_redis(self) -> None:
        began = time.time()
        self.valkey.stop()
        await asyncio.sleep(self.random.uniform(2, 5))
        self.weather.redis_away.append((began, time.time()))
        await self.valkey.start()

    async def flush_redis(self) -> None:
        await self.valkey.command("FLUSHALL")
        await self.valkey.command("SCRIPT", "FLUSH")

    async def terminate_backends(self) -> None:
        """Several times in a row, so that some retries are hit as well."""
        async with await psycopg.AsyncConnection.connect(
            self.database_url, autocommit=True
        ) as connection:
            for _ in range(self.random.randrange(1, 4)):
                await connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name LIKE 'vwed-grpc%' AND random() < 0.7"
                )
                await asyncio.sleep(self.random.uniform(0, 0.05))

    async def cut_redis(self) -> None:
        for proxy in self.to_redis:
            if self.random.random() < 0.7:
                await proxy.cut()
        # Wake-ups that say nothing of their loss: subscribers alone are thrown out.
        await self.valkey.command("CLIENT", "KILL", "TYPE", "pubsub")

    async def cut_clients(self) -> None:
        for proxy in self.to_replicas:
            await proxy.cut()

    async def delay_redis(self) -> None:
        """Around the time-outs, so that some answers come just too late."""
        for proxy in self.to_redis:
            proxy.delay = self.random.uniform(0.01, 0.15)
        await asyncio.sleep(self.random.uniform(1, 3))
        for proxy in self.to_redis:
            proxy.delay = 0

    async def freeze_redis(self) -> None:
        proxy = self.random.choice(self.to_redis)
        proxy.freeze()
        await asyncio.sleep(self.random.uniform(0.5, 5))
        proxy.thaw()
