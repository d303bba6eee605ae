"""The bench's crowd as a load: a process that comes back whenever one of its connections ends."""

import asyncio
import json
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bench.crowd.case import prepare
from bench.crowd.parts import ALL, imports
from bench.crowd.tenants import B
from bench.process import ROOT, environment, python

SHARE, PAUSE = 0.4, 1.0
"""Of the bench's crowd, and seconds between an answer and the next call: much of the machine is
left."""
PARTS = [part for part in ALL if part != imports.__name__]


class CrowdProcess:
    def __init__(self, target: str, log: Path) -> None:
        self.counts = Counter[str]()
        """Answers, refusals and messages, by the kind of call."""
        self.lives = 0
        self._target = target
        self._log = log
        self._process: Process | None = None
        self._living: asyncio.Task[None] | None = None
        self._stopping = False

    def start(self) -> None:
        self._living = asyncio.create_task(self._live())

    async def _live(self) -> None:
        """One life after the other, until it is told to stop."""
        while not self._stopping:
            self.lives += 1
            with self._log.open("ab") as log:
                self._process = await asyncio.create_subprocess_exec(
                    *python("bench.crowd.load", self._target, str(SHARE), str(PAUSE), *PARTS),
                    cwd=ROOT,
                    env=environment(ROOT),
                    stdin=PIPE,
                    stdout=PIPE,
                    stderr=log,
                )
            assert self._process.stdout is not None
            *_, last = (await self._process.stdout.read()).splitlines() or [b""]
            await self._process.wait()
            if last.startswith(b"{"):
                self._count(json.loads(last))
            if not self._stopping:
                await asyncio.sleep(PAUSE)

    def hang_up(self) -> None:
        """Ends its life; it begins another one, unless it is told to stop."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    async def stop(self) -> None:
        """Has it hang up, and say what came of its calls."""
        self._stopping = True
        self.hang_up()
        if self._living is not None:
            await self._living

    def kill(self) -> None:
        if self._living is not None:
            self._living.cancel()
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    def _count(self, counts: dict[str, dict[str, float]]) -> None:
        for kind, count in counts.items():
            for what in ("answered", "refused", "messages"):
                self.counts[f"{kind} {what}"] += int(count[what])


@asynccontextmanager
async def crowd(target: str, log: Path) -> AsyncIterator[CrowdProcess]:
    """Its runs are there, and it is yet to start. It does not outlive this."""
    await prepare(target, B)
    process = CrowdProcess(target, log)
    try:
        yield process
    finally:
        process.kill()
