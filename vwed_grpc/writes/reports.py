"""What a call reports, and what it comes to."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from vwed.v1.block_record_pb2 import BlockRecord
from vwed.v1.task_record_pb2 import TaskRecordStatus

_Name: TypeAlias = tuple[str, str, int]
"""(block_id, iteration, attempt)."""


@dataclass(slots=True)
class Report:
    """What one call reports of one run."""

    run: str
    blocks: Sequence[BlockRecord]
    executor_id: str
    lease_epoch: int
    actor: str
    single: bool = False
    """It is ReportBlock's: its block is answered with its payload."""
    streamed: bool = False
    """Its answer has no blocks."""

    _by_name: dict[_Name, list[BlockRecord]] = field(default_factory=dict, init=False, repr=False)

    def of(self, block: BlockRecord) -> Sequence[BlockRecord]:
        """All that it says of the block, in order."""
        if not self._by_name:
            for one in self.blocks:
                self._by_name.setdefault(_name(one), []).append(one)
        return self._by_name[_name(block)]

    def path(self, index: int) -> str:
        """Where the block stands in the request."""
        return "block_record" if self.single else f"block_records[{index}]"


@dataclass(slots=True)
class Answer:
    blocks: list[BlockRecord]
    seqs: list[int]
    status: TaskRecordStatus.ValueType


Outcome: TypeAlias = Answer | Exception
"""An Exception is the refusal of this one report; `Again`: somebody else is changing the run."""


def _name(block: BlockRecord) -> _Name:
    return block.block_id, block.iteration, block.attempt or 1
