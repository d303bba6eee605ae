from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from math import inf
from typing import TYPE_CHECKING, Any

from vwed.v1.task_record_event_pb2 import TaskRecordSignal

from vwed.client.executor.any_run import AnyRun, Parent
from vwed.client.executor.attempts import Attempts
from vwed.client.executor.block import Block
from vwed.client.executor.run_cache import RunCache
from vwed.client.executor.steps import Step
from vwed.client.watch_one import watch_run

if TYPE_CHECKING:
    from vwed.client.connection import Client
    from vwed.client.executor.run_driver import RunDriver


class Run(AnyRun[Block]):
    """One run in this executor's hands, as the code of a task sees it."""

    def __init__(self, driver: "RunDriver") -> None:
        super().__init__(driver, Block)
        self.client: Client = driver.client
        """For calls of your own, under this executor's name."""
        self.cache = RunCache(driver.client, driver.calls, self.id)

    def attempts(
        self,
        step: Step | str,
        count: int,
        *,
        iteration: str = "",
        parent: Parent = None,
        inputs: Mapping[str, Any] | None = None,
    ) -> Attempts:
        """So many tries of a block: the next one after BlockFailed, which the last one raises.

        None if the block SUCCEEDED, or was SKIPPED, before this executor had the run.
        """
        return Attempts(self._tries(step, count, iteration=iteration, parent=parent, inputs=inputs))

    async def checkpoint(self) -> None:
        """Stands here while the run is paused, and until it is certain that it is still ours."""
        await self._driver.entry.wait(self._inside())

    async def signals(self) -> AsyncIterator[TaskRecordSignal]:
        """What was signalled since the run was claimed, and what will be, until the run ends.

        A stream of its own, by which the run's reports come back as well.
        """
        after = self._driver.claimed_seq
        async with aclosing(watch_run(self.client, self.id, after, patience=inf)) as events:
            async for event in events:
                if event.HasField("signal"):
                    yield event.signal
