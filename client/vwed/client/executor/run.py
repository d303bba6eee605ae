import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import replace
from functools import cached_property
from math import inf
from typing import TYPE_CHECKING, Any

from vwed.client.connection import Client
from vwed.client.executor.attempts import Attempts
from vwed.client.executor.block import Block, inside
from vwed.client.executor.run_cache import RunCache
from vwed.client.executor.steps import Step
from vwed.client.executor.stopping import StopReason
from vwed.client.executor.texts import MESSAGE, ROBOT_ID, text
from vwed.client.values import as_dict
from vwed.client.watch import watch_run
from vwed.v1.block_record_pb2 import BlockRecord, BlockRecordKey
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_record_event_pb2 import TaskRecordSignal
from vwed.v1.task_record_pb2 import TaskRecord

if TYPE_CHECKING:
    from vwed.client.executor.driving import Drive

Parent = Block | BlockRecordKey | None


class Run:
    """One run in this executor's hands, as the code of a task sees it."""

    def __init__(self, drive: "Drive") -> None:
        self._drive = drive
        self.id = drive.record.id
        self.client: Client = drive.client
        """For calls of your own, under this executor's name."""
        self.cache = RunCache(drive.client, drive.asking, self.id)

    @property
    def record(self) -> TaskRecord:
        """The newest that is known of the run."""
        return self._drive.record

    @cached_property
    def input(self) -> dict[str, Any]:
        return as_dict(self._drive.record.input)

    @property
    def definition(self) -> TaskDef:
        """The version that the run is pinned to. Runs share it: leave it as it is."""
        return self._drive.pinned.definition

    @property
    def blocks(self) -> list[Step]:
        """The tree of the definition's blocks."""
        return self._drive.pinned.steps

    @property
    def pausing(self) -> asyncio.Event:
        """Set while the run is to stand; for code that can stop in mid-motion.

        It waits by `checkpoint()`, then goes on.
        """
        return self._drive.gate.pausing

    @property
    def stop_reason(self) -> StopReason | None:
        """Why the code was cancelled; None: it was not."""
        return self._drive.stop_reason

    @property
    def robot_id(self) -> str:
        """Which robot does it: kept with the run, and with blocks that begin from now on."""
        return self._drive.words.robot_id

    @robot_id.setter
    def robot_id(self, robot_id: str) -> None:
        self._drive.say(replace(self._drive.words, robot_id=text(robot_id, ROBOT_ID)))

    @property
    def message(self) -> str:
        """The executor's last word about the run, for people; 512 characters of it are kept."""
        return self._drive.words.message

    @message.setter
    def message(self, message: str) -> None:
        self._drive.say(replace(self._drive.words, message=text(message, MESSAGE)))

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
        """A block that is RUNNING within `async with`; one that the definition lacks, too.

        `iteration`: which turn of the loops around it ("3", "3.1"). `attempt`: the next one after
        those that there were. `parent`: the block around it. `inputs`: those of the step.
        """
        step = block if isinstance(block, Step) else Step(block, "")
        if type is not None or name is not None:
            step = Step(
                step.id, type or step.type, name or step.name, step.inputs, step.children,
                step.input_data,
            )  # fmt: skip
        return Block(
            self._drive.ledger,
            step,
            iteration=iteration,
            attempt=attempt or 0,
            parent=parent or self._inside(),
            inputs=inputs,
        )

    def attempts(
        self,
        step: Step,
        count: int,
        *,
        iteration: str = "",
        parent: Parent = None,
        inputs: Mapping[str, Any] | None = None,
    ) -> Attempts:
        """So many tries of a block: the next one after BlockFailed, which the last one raises.

        None if the block SUCCEEDED, or was SKIPPED, before this executor had the run.
        """

        def make() -> Block:
            return self.block(step, iteration=iteration, parent=parent, inputs=inputs)

        done = self._drive.ledger.is_done((step.id, iteration))
        return Attempts(make, 0 if done else count)

    def previous(self, block_id: str, iteration: str = "") -> BlockRecord | None:
        """The latest attempt that earlier executors made at the block, in full."""
        return self._drive.ledger.previous.get((block_id, iteration))

    async def checkpoint(self) -> None:
        """Stands here while the run is paused, and until it is certain that the run is ours."""
        await self._drive.gate.wait(self._inside())

    async def signals(self) -> AsyncIterator[TaskRecordSignal]:
        """What was signalled since the run was claimed, and what will be, until it ends."""
        after, client = self._drive.claimed_seq, self.client
        async with aclosing(watch_run(client, self.id, after, patience=inf)) as events:
            async for event in events:
                if event.HasField("signal"):
                    yield event.signal

    def _inside(self) -> Block | None:
        block = inside.get()
        return block if block is not None and block.is_of(self._drive.ledger) else None
