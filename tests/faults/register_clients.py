"""Clients that read and write registers through all replicas, and keep a journal of it."""

import asyncio
import itertools
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import grpc

from tests.faults.registers import Register
from tests.support.register_checker import Journal, Process, Read, Write
from vwed.client import Client, is_transient

REFUSED = {"NOT_FOUND", "FAILED_PRECONDITION", "ABORTED"}
"""Codes after which nothing was written."""
STRONG_SHARE = 0.05
READS_A_WRITE = 60
"""At least so many, on a slow machine too: else nothing would be in Redis to be read from it."""


@dataclass
class Door:
    """A way to one replica."""

    client: Client
    process: Callable[[], Process]
    """Who is behind it now."""


@dataclass
class Clients:
    doors: Sequence[Door]
    registers: Sequence[Register]
    journal: Journal = field(default_factory=Journal)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    tokens: "itertools.count[int]" = field(default_factory=itertools.count)
    surprises: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for register in self.registers:
            self.journal.bounds[register.name] = register.bound
            self.journal.ends[register.name] = register.ends

    async def play(self, readers: int) -> None:
        """Until it is over."""
        async with asyncio.TaskGroup() as tasks:
            for register in self.registers:
                tasks.create_task(self._writer(register))
                tasks.create_task(self._writer(register))
            for _ in range(readers):
                tasks.create_task(self._reader())

    async def _reader(self) -> None:
        while not self.over.is_set():
            await self.read(random.choice(self.registers), random.choice(self.doors))

    async def read(
        self, register: Register, door: Door, *, strong: bool | None = None
    ) -> Read | None:
        """What was seen; None: nothing was answered."""
        if strong is None:
            strong = random.random() < STRONG_SHARE
        began = time.time()
        try:
            state = await register.read(door.client, strong=strong)
        except grpc.aio.AioRpcError as error:
            await self._failed(error)
            return None
        done = Read(register.name, door.process(), began, time.time(), *state, strong=strong)
        self.journal.reads.append(done)
        return done

    async def _writer(self, register: Register) -> None:
        while not self.over.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(random.uniform(0, 2 * register.pause)):
                    await self.over.wait()
                    return
            if len(self.journal.writes) * READS_A_WRITE < len(self.journal.reads):
                await self.write(register, random.choice(self.doors))

    async def write(self, register: Register, door: Door, token: str = "") -> Write | None:
        """What became of it; None: it was refused."""
        token = token or f"t{next(self.tokens)}"
        began, order = time.time(), 0
        try:
            order = await register.write(door.client, token)
        except grpc.aio.AioRpcError as error:
            if error.code().name in REFUSED:
                return None
            await self._failed(error)
        done = Write(
            register.name, door.process(), began, time.time(), order, token, acknowledged=order > 0
        )
        self.journal.writes.append(done)
        return done

    async def _failed(self, error: grpc.aio.AioRpcError) -> None:
        """A replica may be away, or its store; nothing else excuses a failure."""
        if not is_transient(error) and error.code().name not in {"DEADLINE_EXCEEDED", "CANCELLED"}:
            self.surprises.append(f"{error.code().name}: {error.details()}")
        await asyncio.sleep(0.05)
