from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from math import inf
from typing import TYPE_CHECKING, Any

from vwed.v1.task_record_event_pb2 import TaskRecordSignal

from vwed.client.executor.attempts import Attempts
from vwed.client.executor.block import Block
from vwed.client.executor.run_cache import RunCache
from vwed.client.executor.run_facts import Parent, RunFacts
from vwed.client.executor.steps import Step
from vwed.client.watch_one import watch_run

if TYPE_CHECKING:
    from vwed.client.connection import Client
    from vwed.client.executor.run_driver import RunDriver


class Run(RunFacts):
    """One run in this executor's hands, as the code of a task sees it."""

    def __init__(self, drive: "RunDriver") -> None:
        super().__init__(drive)
        self.client: Client = drive.client
        """For calls of your own, under this executor's name."""
        self.cache = RunCache(drive.client, drive.calls, self.id)

    def block(
        self,
        block: Step | str,
        type: str | None = None,  # noqa: A002 - the contract's own name for it
        *,
        iteration: str = "",
        attempt: int | None = None,
        parent: Parent = None,
        inputs: Mapping[str, Any] | None = None,
        name: str | None = None,
    ) -> Block:
        """A block that is RUNNING within `async with`; also one that the definition does not have.

        `iteration`: which turn of the loops around it, "3", or "3.1" in nested ones. `attempt`: the
        next after those that there were, unless told. `parent`: the block around it, unless told.
        `inputs`: the step's, unless told.
        """
        return self._make(
            Block,
            block,
            type_=type,
            iteration=iteration,
            attempt=attempt,
            parent=parent,
            inputs=inputs,
            name=name,
        )

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
        return Attempts(
            self._tries(Block, step, count, iteration=iteration, parent=parent, inputs=inputs)
        )

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
