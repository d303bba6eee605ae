import asyncio
from collections.abc import Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from vwed.v1.block_record_pb2 import BlockRecord, BlockRecordKey, BlockRecordStatus

from vwed.client.executor.ending import said_of
from vwed.client.executor.statuses import BLOCK_CANCELED, BLOCK_FAILED, BLOCK_SUCCEEDED
from vwed.client.executor.steps import Step
from vwed.client.executor.texts import MESSAGE, text
from vwed.client.values import as_struct

if TYPE_CHECKING:
    from google.protobuf.struct_pb2 import Struct

    from vwed.client.executor.block_reporter import BlockReporter

inside: ContextVar["BlockTry | None"] = ContextVar("inside", default=None)
"""The block whose code this is."""


class BlockTry:
    """One try of one block, as it is reported."""

    __slots__ = (
        "_outer",
        "_reporter",
        "attempt",
        "clock_offset",
        "had_blocks",
        "id",
        "input_data",
        "inputs",
        "iteration",
        "name",
        "open_children",
        "output",
        "parent",
        "parent_key",
        "report",
        "report_number",
        "type",
    )

    def __init__(
        self,
        reporter: "BlockReporter",
        step: Step,
        *,
        iteration: str,
        attempt: int,
        parent: "BlockTry | BlockRecordKey | None",
        inputs: Mapping[str, Any] | None,
    ) -> None:
        self._reporter = reporter
        self.id = step.id
        self.type = step.type
        self.name = step.name
        self.iteration = iteration
        """Which turn of the loops around it: "", "3", "3.1" in nested loops."""
        self.attempt = attempt
        """Which try of the block this is, from 1 on; 0 until it is entered."""
        self.inputs: Mapping[str, Any] = step.inputs if inputs is None else inputs
        """What the block was given."""
        self.output: Mapping[str, Any] | None = None
        """What the block produced, as JSON; set it before its end."""
        self.input_data: Struct = step.input_data if inputs is None else as_struct(inputs)
        self.parent: BlockTry | None = parent if isinstance(parent, BlockTry) else None
        self.parent_key: BlockRecordKey | None = (
            parent.key if isinstance(parent, BlockTry) else parent
        )
        self._outer: BlockTry | None = None
        self.open_children = 0
        self.had_blocks = False
        self.clock_offset = 0.0
        self.report: BlockRecord = BlockRecord()
        self.report_number = 0

    def is_of(self, reporter: "BlockReporter") -> bool:
        """Whether it is a block of the same run."""
        return self._reporter is reporter

    @property
    def key(self) -> BlockRecordKey:
        """What names this try within its run; as `parent` of a block it needs not be open."""
        return BlockRecordKey(block_id=self.id, iteration=self.iteration, attempt=self.attempt)

    def progress(self, fraction: float, message: str = "") -> None:
        """How much of it is done, 0..1, and a word for people, of which 512 characters are kept.

        It costs next to nothing: say it as often as it changes.
        """
        self._reporter.progress(self, min(1.0, max(0.0, fraction)), text(message, MESSAGE))

    async def begin(self) -> None:
        """Waits until the block may begin, and reports that it does."""
        entry = self._reporter.entry
        if entry.is_turn_over():
            # Code whose blocks take no time would else keep heartbeats and cancels from going on.
            await asyncio.sleep(0)
        if not entry.is_open():
            await entry.wait(self.parent)
        self._reporter.begin(self)

    def end(self, exc: BaseException | None) -> None:
        """Reports how its code ended. Raises what is wrong with its output, if it is no JSON."""
        try:
            output = None if self.output is None else as_struct(self.output)
        except (TypeError, ValueError) as wrong:
            self._reporter.end(self, BLOCK_FAILED, output=None, error_message=said_of(exc or wrong))
            if exc is None:
                raise
            return
        self._reporter.end(self, _status(exc), output=output, error_message=said_of(exc))

    def enter(self) -> None:
        """From here on, what this context enters is nested in it."""
        self._outer = inside.get()
        inside.set(self)

    def leave(self) -> None:
        inside.set(self._outer)


class Block(BlockTry):
    """One try of one block: RUNNING while the `async with` lasts, then as its code ended.

    That is SUCCEEDED, FAILED after BlockFailed or another exception, CANCELED when cancelled.
    Entering waits while the run is paused, while too many reports wait for the service, and until
    it is certain that the run is this executor's. A block that is entered within another one is
    nested in it.
    """

    __slots__ = ()

    async def __aenter__(self) -> Self:
        await self.begin()
        self.enter()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.leave()
        self.end(exc)


def _status(exc: BaseException | None) -> BlockRecordStatus.ValueType:
    if exc is None:
        return BLOCK_SUCCEEDED
    return BLOCK_FAILED if isinstance(exc, Exception) else BLOCK_CANCELED
