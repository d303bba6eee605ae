"""Processes full of executors, and what may be done to one of them while the others live."""

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults import journal
from tests.faults.executor_checker import Freeze
from tests.faults.journal import Drive

ROOT = Path(__file__).parents[2]
LEASE = 2.0
"""Seconds, so short that much is lost of what a busy machine holds up."""
ENDS_WITHIN = 20.0
"""Seconds from SIGTERM, far more than grace and lease."""
GRAVE = (
    *("never retrieved", "was never awaited", "but it is pending", "Exception in callback"),
    *("a fault of the executor", "left as it is"),
)


@dataclass
class ExecutorProcess:
    """It has the same name, and so the same executors, in all its lives."""

    name: str
    target: str
    tenant: str
    home: Path
    freezes: list[Freeze] = field(default_factory=list)
    _ends: dict[str, float] = field(default_factory=dict)
    """Life -> when it had ended, in seconds since 1970."""
    _lives: int = 0
    _process: Process | None = None

    @property
    def _life(self) -> str:
        return f"{self.name}.{self._lives}"

    @property
    def _log(self) -> Path:
        return self.home / f"executors-{self.name}.log"

    async def start(self) -> None:
        """Returns once it works."""
        self._lives += 1
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.faults.journaled_executors"),
                *(self.target, self.tenant, self.name),
                *(str(self.home / f"{self._life}.journal"), str(LEASE)),
                cwd=ROOT,
                stdout=PIPE,
                stderr=log,
            )
        assert self._process.stdout is not None
        async with asyncio.timeout(ENDS_WITHIN):
            assert await self._process.stdout.readline() == b"ready\n", self._log.read_text()

    async def kill(self) -> None:
        """SIGKILL, which a frozen one does not outlive either."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
            self._ends.setdefault(self._life, time.time())

    async def stop(self) -> None:
        """SIGTERM: it drains, releases, and ends well."""
        assert self._process is not None
        self._process.terminate()
        async with asyncio.timeout(ENDS_WITHIN):
            assert await self._process.wait() == 0, self._log.read_text()[-3000:]
        self._ends[self._life] = time.time()

    async def freeze(self, seconds: float) -> None:
        """SIGSTOP, and SIGCONT after a while."""
        assert self._process is not None
        began = journal.clock()
        os.kill(self._process.pid, signal.SIGSTOP)
        stood = journal.clock()
        await asyncio.sleep(seconds)
        until = journal.clock()
        os.kill(self._process.pid, signal.SIGCONT)
        self.freezes.append(Freeze(self._life, began, stood, until))

    def drives(self) -> list[Drive]:
        """What the journals of all its lives have."""
        paths = self.home.glob(f"{self.name}.*.journal")
        return [drive for path in paths for drive in journal.read(path, self._ends[path.stem])]

    def faults(self) -> list[str]:
        """What it logged that should never happen, whatever is done to it."""
        lines = self._log.read_text(errors="replace").splitlines()
        return [
            "\n".join(lines[n : n + 40])
            for n, line in enumerate(lines)
            if any(word in line for word in GRAVE)
        ]


@asynccontextmanager
async def started(*processes: ExecutorProcess) -> AsyncIterator[None]:
    """All at once; none outlives this."""
    try:
        await asyncio.gather(*(process.start() for process in processes))
        yield
    finally:
        await asyncio.gather(*(process.kill() for process in processes))


def drives(processes: Sequence[ExecutorProcess]) -> list[Drive]:
    return [drive for process in processes for drive in process.drives()]


def freezes(processes: Sequence[ExecutorProcess]) -> list[Freeze]:
    return [freeze for process in processes for freeze in process.freezes]
