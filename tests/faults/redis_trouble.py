"""What is done to Redis, to the ways to it, and to servers, while clients read and write."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain, count

from tests.faults.register_clients import Clients
from tests.faults.registers import Definition, Run
from tests.support.proxy import Proxy
from tests.support.register_checker import Process
from tests.support.replicas import Replica
from tests.support.stores import Valkey

TIMEOUT = 0.1
"""After which a server gives Redis up, twice."""

KILLED = "killed between commit and answer"


@dataclass
class Life:
    """A replica with the way from it to Redis."""

    name: str
    replica: Replica
    proxy: Proxy
    metrics: str
    """Where it shows them."""
    starts: list[float]

    def process(self) -> Process:
        return self.name, len(self.starts)

    async def restart(self) -> None:
        self.replica.kill()
        self.starts.append(time.time())
        await self.replica.start()


@dataclass
class Trouble:
    lives: Sequence[Life]
    valkey: Valkey
    clients: Clients
    done: Counter[str] = field(default_factory=Counter)
    _probes: "count[int]" = field(default_factory=count)

    async def go_on(self, enough: Callable[[], bool]) -> None:
        """One after the other, in any order, each at least once, until it is enough."""
        kinds: list[Callable[[], Awaitable[None]]] = [
            self.delay, self.slow, self.freeze, self.cut, self.flush, self.restart_redis,
            self.kill_before_the_answer,
        ]  # fmt: skip
        rounds = chain.from_iterable(random.sample(kinds, len(kinds)) for _ in count())
        while not (enough() and all(self.done[kind.__name__] for kind in kinds)):
            kind = next(rounds)
            await kind()
            self.done[kind.__name__] += 1
            await asyncio.sleep(random.uniform(0.2, 1.2))

    async def delay(self) -> None:
        """Less than a server waits: all invalidations arrive before their answers."""
        for life in self.lives:
            life.proxy.delay = random.uniform(0, 0.25 * TIMEOUT)
        await asyncio.sleep(2)
        self._mend()

    async def slow(self) -> None:
        """More than a server waits."""
        life = random.choice(self.lives)
        life.proxy.delay = random.uniform(TIMEOUT, 4 * TIMEOUT)
        await asyncio.sleep(random.uniform(0.5, 1.5))
        self._mend()

    async def freeze(self) -> None:
        life = random.choice(self.lives)
        life.proxy.freeze()
        await asyncio.sleep(random.uniform(0.5, 2))
        self._mend()

    async def cut(self) -> None:
        for _ in range(5):
            await random.choice(self.lives).proxy.cut()
            await asyncio.sleep(random.uniform(0, 0.2))

    async def flush(self) -> None:
        for _ in range(5):
            await self.valkey.command("FLUSHALL")
            await asyncio.sleep(random.uniform(0, 0.2))

    async def restart_redis(self) -> None:
        self.valkey.stop()
        await asyncio.sleep(random.uniform(0, 1))
        await self.valkey.start()

    async def kill_before_the_answer(self) -> None:
        """A server that has committed cannot reach Redis, and is killed while it tries to."""
        life, other = random.sample(self.lives, 2)
        door, witness = (self.clients.doors[self.lives.index(x)] for x in (life, other))
        kinds = [r for r in self.clients.registers if isinstance(r, Definition | Run)]
        register, token = random.choice(kinds), f"probe{next(self._probes)}"
        life.proxy.freeze()
        writing = asyncio.create_task(self.clients.write(register, door, token))
        seen = False
        while not (seen or writing.done()):
            read = await self.clients.read(register, witness, strong=True)
            seen = read is not None and read.token == token
        await life.restart()
        write = await writing
        # Its answer may have been on its way when the server was killed.
        self.done[KILLED] += seen and write is not None and not write.acknowledged
        self._mend()

    def _mend(self) -> None:
        for life in self.lives:
            life.proxy.delay = 0.0
            life.proxy.thaw()
