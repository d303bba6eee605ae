import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from vwed.v1.block_record_pb2 import BlockRecord, BlockRecordKey
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_record_pb2 import TaskRecord

from vwed.client.executor.attempts import Tries
from vwed.client.executor.block import BlockTry, inside
from vwed.client.executor.heartbeats import Words
from vwed.client.executor.steps import Step
from vwed.client.executor.stopping import StopReason
from vwed.client.executor.texts import MESSAGE, ROBOT_ID, text
from vwed.client.values import as_dict

if TYPE_CHECKING:
    from vwed.client.executor.run_driver import RunDriver

BlockT = TypeVar("BlockT", bound=BlockTry)
Parent = BlockTry | BlockRecordKey | None


class AnyRun(Generic[BlockT]):
    """What a run is to code that awaits, and to code that blocks: only their blocks differ."""

    def __init__(self, driver: "RunDriver", kind: Callable[..., BlockT]) -> None:
        self._driver = driver
        self._kind = kind
        self.id: str = driver.record.id

    @property
    def record(self) -> TaskRecord:
        """The newest that is known of the run."""
        return self._driver.record

    @cached_property
    def input(self) -> dict[str, Any]:
        return as_dict(self._driver.record.input)

    @property
    def definition(self) -> TaskDef:
        """The version that the run is pinned to. Runs share it: leave it as it is."""
        return self._driver.pinned.definition

    @property
    def blocks(self) -> list[Step]:
        """The tree of the definition's blocks."""
        return self._driver.pinned.steps

    @property
    def pausing(self) -> asyncio.Event:
        """Set while the run is to stand, for code that can stop in mid-motion.

        When it has, it waits by `checkpoint()`. A thread only looks whether it `is_set()`.
        """
        return self._driver.entry.pausing

    @property
    def stop_reason(self) -> StopReason | None:
        """Why the code was stopped; None: it was not."""
        return self._driver.stop_reason

    @property
    def robot_id(self) -> str:
        """Which robot does it: kept with the run, and with blocks that begin from now on."""
        return self._driver.words.robot_id

    @robot_id.setter
    def robot_id(self, robot_id: str) -> None:
        self._say(replace(self._driver.words, robot_id=text(robot_id, ROBOT_ID)))

    @property
    def message(self) -> str:
        """The executor's last word about the run, for people; 512 characters of it are kept."""
        return self._driver.words.message

    @message.setter
    def message(self, message: str) -> None:
        self._say(replace(self._driver.words, message=text(message, MESSAGE)))

    def previous(self, block_id: str, iteration: str = "") -> BlockRecord | None:
        """The latest attempt at the block that earlier executors of the run left, in full."""
        return self._driver.reporter.previous.get((block_id, iteration))

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
    ) -> BlockT:
        """A block that is RUNNING within `with`; also one that the definition does not have.

        `iteration`: which turn of the loops around it, "3", or "3.1" in nested ones. `attempt`: the
        next after those that there were, unless told. `parent`: the block around it, unless told.
        `inputs`: the step's, unless told.
        """
        step = block if isinstance(block, Step) else Step(block, "")
        if type is not None or name is not None:
            step = replace(step, type=type or step.type, name=name or step.name)
        return self._kind(
            self._driver.reporter,
            step,
            iteration=iteration,
            attempt=attempt or 0,
            parent=parent if parent is not None else self._inside(),
            inputs=inputs,
        )

    def _tries(
        self,
        step: Step | str,
        count: int,
        *,
        iteration: str,
        parent: Parent,
        inputs: Mapping[str, Any] | None,
    ) -> Tries[BlockT]:
        def make() -> BlockT:
            return self.block(step, iteration=iteration, parent=parent, inputs=inputs)

        block_id = step.id if isinstance(step, Step) else step
        done = self._driver.reporter.is_done((block_id, iteration))
        return Tries(make, 0 if done else count)

    def _say(self, words: Words) -> None:
        self._driver.say(words)

    def _inside(self) -> BlockTry | None:
        """The block whose code is running, if it is one of this run."""
        block = inside.get()
        return block if block is not None and block.is_of(self._driver.reporter) else None
