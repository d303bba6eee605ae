"""Executors in a process of their own, to be killed, stopped and frozen; a journal has their deeds.

Arguments: target, tenant, the process's name, the journal's path, seconds of lease. SIGTERM is
theirs: they drain and release. One of them is for runs that nobody else may claim, and takes two at
once; the code of another one blocks.
"""

import asyncio
import random
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.faults.journal import Journal, clock, mark_in
from vwed.client.executor import (
    Block,
    BlockFailed,
    BlockingBlock,
    BlockingRun,
    Executor,
    Run,
    RunStopped,
    Step,
)

ANY = "any"
"""The task type that every one of them takes."""
EXECUTORS = 5
GRACE = 0.5
"""Seconds after SIGTERM for what a run is at; most are longer."""
ROUNDS = 2


class Unplanned(Exception):
    """What code does not expect of itself."""


class Work:
    """What the code of one run does, in either way of writing it."""

    def __init__(self, journal: Journal, executor: str, run: Run | BlockingRun) -> None:
        self.run = run
        self.rng = random.Random()
        self._journal = journal
        self._drive = journal.drive(executor, run.id, self._epoch)

    @property
    def _epoch(self) -> int:
        return self.run.record.lease_epoch

    def heard(self, name: str) -> None:
        self._journal.heard(self._drive, name)

    @contextmanager
    def whole(self) -> Iterator[dict[str, str]]:
        """The run's code, whose result is what this gives."""
        result = {"mark": self._journal.mark()}
        status, mark, reason = "SUCCEEDED", result["mark"], ""
        try:
            yield result
        except (asyncio.CancelledError, RunStopped):
            status, mark = "CANCELED", ""
            raise
        except Exception as exc:
            status, mark = "FAILED", mark_in(str(exc))
            raise
        finally:
            if self.run.stop_reason is not None:
                reason = self.run.stop_reason.name
            self._journal.over(self._drive, self._epoch, status, mark, reason)

    @contextmanager
    def inside(self, block: Block | BlockingBlock, asked: float) -> Iterator[None]:
        """The code of a block, which was asked for at `asked`."""
        key = (block.id, block.iteration, block.attempt)
        self._journal.begun(self._drive, key, self._epoch, asked)
        mark = self._journal.mark()
        status = "SUCCEEDED"
        try:
            yield
            block.output = {"mark": mark}
        except (asyncio.CancelledError, RunStopped):
            status, mark = "CANCELED", ""
            raise
        except Exception as exc:
            status, mark = "FAILED", mark_in(str(exc))
            raise
        finally:
            self._journal.ended(self._drive, key, status, mark)

    def luck(self) -> None:
        """Some blocks do not go well."""
        if self.rng.random() < 0.06:
            raise BlockFailed("BROKEN", f"a pallet in the way {self._journal.mark()}")
        if self.rng.random() < 0.01:
            raise Unplanned(self._journal.mark())

    def pause(self) -> float:
        """Seconds that a part of a block takes."""
        return self.rng.uniform(0, 0.15)


class Walk:
    """The way through a run's blocks, as most code is written."""

    def __init__(self, work: Work, run: Run) -> None:
        self._work = work
        self._run = run
        self._stubborn = work.rng.random() < 0.1

    async def whole(self) -> dict[str, str]:
        listening = asyncio.create_task(self._listen())
        try:
            with self._work.whole() as result:
                await self._run.cache.increment("drives", 1)
                await self._steps(self._run.blocks)
                return result
        finally:
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening

    async def _listen(self) -> None:
        async for heard in self._run.signals():
            self._work.heard(heard.name)

    async def _steps(self, steps: Sequence[Step], iteration: str = "") -> None:
        for step in steps:
            async for attempt in self._run.attempts(step, 2, iteration=iteration):
                asked = clock()
                async with attempt as block:
                    with self._work.inside(block, asked):
                        await self._do(step, block)

    async def _do(self, step: Step, block: Block) -> None:
        if step.type == "loop":
            for n in range(ROUNDS):
                await self._steps(step.children["each"], str(n))
        elif step.type == "fork":
            await self._fork(step, block)
        else:
            await self._single(block)

    async def _fork(self, step: Step, block: Block) -> None:
        try:
            async with asyncio.TaskGroup() as branches:
                for branch in step.children.values():
                    branches.create_task(self._steps(branch, block.iteration))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None

    async def _single(self, block: Block) -> None:
        try:
            await asyncio.sleep(self._work.pause())
            if self._work.rng.random() < 0.3:
                block.progress(self._work.rng.random())
                await self._run.checkpoint()
            await asyncio.sleep(self._work.pause())
        except asyncio.CancelledError:
            if not self._stubborn:
                raise
        self._work.luck()


class BlockingWalk:
    """The same in a thread, where everything waits."""

    def __init__(self, work: Work, run: BlockingRun) -> None:
        self._work = work
        self._run = run

    def whole(self) -> dict[str, str]:
        with self._work.whole() as result:
            self._run.cache.increment("drives", 1)
            self._steps(self._run.blocks)
            return result

    def _steps(self, steps: Sequence[Step], iteration: str = "") -> None:
        for step in steps:
            for attempt in self._run.attempts(step, 2, iteration=iteration):
                asked = clock()
                with attempt as block, self._work.inside(block, asked):
                    rounds = ROUNDS if step.type == "loop" else 1
                    for n in range(rounds):
                        for branch in step.children.values():
                            self._steps(branch, str(n) if rounds > 1 else iteration)
                    time.sleep(self._work.pause())
                    self._work.luck()


def executor(target: str, tenant: str, name: str, lease: float, journal: Journal) -> Executor:
    """The first one of a process has runs of its own, and the last one's code blocks."""
    own = name.endswith("-0")
    made = Executor(
        target,
        name,
        tenant=tenant,
        lease=lease,
        grace=GRACE,
        concurrency=2 if own else 1,
    )
    if name.endswith(f"-{EXECUTORS - 1}"):

        @made.task(task_types=[ANY])
        def blocking(run: BlockingRun) -> dict[str, str]:
            return BlockingWalk(Work(journal, name, run), run).whole()
    else:

        @made.task(task_types=[name if own else ANY])
        async def walk(run: Run) -> dict[str, str]:
            return await Walk(Work(journal, name, run), run).whole()

    return made


async def main(target: str, tenant: str, process: str, path: str, lease: str) -> None:
    journal = Journal(Path(path))
    serving = [
        asyncio.create_task(
            executor(target, tenant, f"{process}-{n}", float(lease), journal).serve()
        )
        for n in range(EXECUTORS)
    ]
    asyncio.get_running_loop().add_signal_handler(
        signal.SIGTERM, lambda: [one.cancel() for one in serving]
    )
    print("ready", flush=True)  # noqa: T201 - to the one who started it
    ended = await asyncio.gather(*serving, return_exceptions=True)
    assert all(isinstance(how, asyncio.CancelledError) for how in ended), ended


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
