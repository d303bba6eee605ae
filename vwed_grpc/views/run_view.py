"""A run as people see it: the tree of its definition, with what executors reported of it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vwed.v1.block_record_pb2 import BlockRecord
from vwed.v1.task_record_event_pb2 import TaskRecordEvent
from vwed.v1.task_record_pb2 import TaskRecord

from vwed_grpc.views.words import block_status

Config = Mapping[str, Any]
"""A block of a definition's config, as a dict."""


@dataclass(slots=True)
class Node:
    """A block as it is shown: once for each iteration, or once if nobody has begun it."""

    block_id: str
    name: str
    iteration: str = ""
    attempts: Sequence[BlockRecord] = ()
    """The oldest first; none: it was not reported."""
    children: Sequence["Node"] = field(default_factory=list)

    @property
    def record(self) -> BlockRecord | None:
        """The latest attempt."""
        return self.attempts[-1] if self.attempts else None

    @property
    def status(self) -> str:
        """`RUNNING` and so on; "" if it was not reported."""
        return block_status(self.record) if self.record else ""

    @property
    def title(self) -> str:
        """`pick_line[1.2] #2 拣货`: the iteration, and the attempt if it is not the first."""
        iteration = f"[{self.iteration}]" if self.iteration else ""
        attempt = f" #{self.record.attempt}" if self.record and self.record.attempt > 1 else ""
        return f"{self.block_id}{iteration}{attempt} {self.name}".rstrip()


class RunView:
    """What is known of a run, moved on by its events."""

    def __init__(self, run: TaskRecord, blocks: Sequence[Config]) -> None:
        """`blocks`: of the config of the definition's version that the run is pinned to."""
        self.run = run
        self.seq = 0
        """Of the last event."""
        self.config = blocks
        self._configured = {block["id"] for block in _all_blocks(blocks)}
        self._attempts: dict[tuple[str, str], dict[int, BlockRecord]] = {}
        self._iterations: dict[tuple[str, str], dict[str, None]] = {}
        """(block_id, the iteration around it) -> its own iterations."""
        self._extra: dict[tuple[str, str] | None, dict[tuple[str, str], None]] = {}
        """Where a block that the config lacks stands -> such blocks; None: at the top."""
        self._places: dict[str, tuple[str, str]] = {}
        """The id of a block record -> (block_id, iteration)."""

    def put(self, block: BlockRecord) -> None:
        """A block record; it replaces what was known of this attempt, unless that is newer."""
        place = block.block_id, block.iteration
        attempts = self._attempts.setdefault(place, {})
        if block.attempt in attempts and attempts[block.attempt].seq > block.seq:
            return
        attempts[block.attempt] = block
        self._places[block.id] = place
        around = block.iteration.rpartition(".")[0]
        self._iterations.setdefault((block.block_id, around), {})[block.iteration] = None
        if block.block_id not in self._configured:
            parent = self._places.get(block.parent_block_record_id)
            self._extra.setdefault(parent if parent != place else None, {})[place] = None

    def apply(self, event: TaskRecordEvent) -> None:
        """What has changed. What an event leaves out of its resource is kept."""
        self.seq = max(self.seq, event.seq)
        if event.HasField("task_record"):
            self.run.CopyFrom(event.task_record)
        elif event.HasField("block_record"):
            self.put(event.block_record)
        if event.HasField("progress"):
            self.run.progress = event.progress
        if event.HasField("block_counts"):
            self.run.block_counts.CopyFrom(event.block_counts)

    def records(self) -> list[BlockRecord]:
        """Every attempt that was reported, in the order of their first reports."""
        found = (block for attempts in self._attempts.values() for block in attempts.values())
        return sorted(found, key=lambda block: block.first_seq)

    def nodes(self) -> list[Node]:
        """The blocks at the top, in the definition's order, then what it does not have."""
        return [*self._configured_nodes(self.config, ""), *self._extra_nodes(None)]

    def _configured_nodes(self, blocks: Sequence[Config], around: str) -> Iterator[Node]:
        turns = {turn for block in blocks for turn in self._turns(block, around)}
        for block in blocks:
            if not turns or (block["id"], around) in self._attempts:
                yield self._node(block["id"], around, block)
        for number, turn in enumerate(sorted(turns, key=_natural), start=1):
            for block in blocks:
                # What the latest turn of a loop has not come to yet is to come in it.
                is_ahead = number == len(turns) and (block["id"], around) not in self._attempts
                if is_ahead or (block["id"], turn) in self._attempts:
                    yield self._node(block["id"], turn, block)

    def _turns(self, block: Config, around: str) -> Iterator[str]:
        """The iterations of a block that is in a loop."""
        return (turn for turn in self._iterations.get((block["id"], around), ()) if turn != around)

    def _node(self, block_id: str, iteration: str, config: Config) -> Node:
        attempts = self._attempts.get((block_id, iteration), {})
        # A config's maps have no order of their own: sorted, a tree looks the same each time.
        branches = sorted(config.get("children", {}).items())
        below = [block for _, branch in branches for block in branch]
        return Node(
            block_id,
            config.get("name", ""),
            iteration,
            [attempts[number] for number in sorted(attempts)],
            [
                *self._configured_nodes(below, iteration),
                *self._extra_nodes((block_id, iteration)),
            ],
        )

    def _extra_nodes(self, parent: tuple[str, str] | None) -> Iterator[Node]:
        for block_id, iteration in self._extra.get(parent, {}):
            attempts = self._attempts[block_id, iteration]
            newest = attempts[max(attempts)]
            yield Node(
                block_id,
                newest.name,
                iteration,
                [attempts[number] for number in sorted(attempts)],
                list(self._extra_nodes((block_id, iteration))),
            )


def _all_blocks(blocks: Iterable[Config]) -> Iterator[Config]:
    for block in blocks:
        yield block
        for branch in block.get("children", {}).values():
            yield from _all_blocks(branch)


def _natural(iteration: str) -> list[tuple[int, str]]:
    """`2` before `10`; what is no number comes after, by its text."""
    return [
        (int(part), "") if part.isdecimal() else (1 << 62, part) for part in iteration.split(".")
    ]
