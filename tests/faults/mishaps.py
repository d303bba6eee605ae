"""What happens to a service now and then, one thing after the other, with peace in between."""

import asyncio
import os
import signal
import time
from dataclasses import dataclass

from tests.faults.chaos import Chaos, Fault
from tests.faults.crowd_process import CrowdProcess
from tests.support.clusters import frozen
from tests.support.process import worker

LIVES, DIES = 0, 1
"""Of two workers: one lives all the time, to be measured."""


@dataclass(kw_only=True)
class Mishaps(Chaos):
    postmaster: int
    parent: int
    """The process that has workers."""
    crowd: CrowdProcess
    pause: float
    """Seconds of peace before each; a fifth of it before the first ones."""

    async def until(self, end: float) -> None:
        """Each once, in any order, and so on; before `end` (monotonic seconds) there is peace.

        The first ones follow each other soon. What waits meanwhile, and who comes back at once, has
        memory, pools and tables grow to what they need at most; what grows later is of interest.
        """
        faults = (
            self.stop_redis,
            self.freeze_postgres,
            self.terminate_backends,
            self.cut_clients,
            self.kill_worker,
            self.kill_executors,
            self.freeze_executors,
            self.restart_crowd,
        )
        due, pause = list[Fault](), self.pause / 5
        while time.monotonic() + 2 * self.pause < end:
            await asyncio.sleep(pause)
            due = due or self.random.sample(faults, len(faults))
            await self.befall(due.pop())
            if not due:
                pause = self.pause
        await asyncio.sleep(end - time.monotonic())

    async def freeze_postgres(self) -> None:
        """With all its connections, for longer than some calls wait."""
        began = time.time()
        with frozen(self.postmaster):
            await asyncio.sleep(4)
        self.weather.postgres_away.append((began, time.time()))

    async def restart_crowd(self) -> None:
        """All its calls begin again, as they do when its connections are as old as they may be."""
        self.crowd.hang_up()

    async def kill_worker(self) -> None:
        os.kill(worker(self.parent, DIES), signal.SIGKILL)
