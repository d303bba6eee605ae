"""A piece of a tenant's log, and what watches of many runs are told of it."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from vwed.v1.task_record_event_pb2 import TaskRecordEvent
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordFilter

from vwed_grpc.domain.run_filter import predicate
from vwed_grpc.loop.offload import in_thread
from vwed_grpc.storage.events import Event, Kind
from vwed_grpc.storage.feed import Moment
from vwed_grpc.watching.events import is_large, messages
from vwed_grpc.watching.resume import Place

_SHARED = 4
"""Readers with different filters for whom a chunk keeps what they are told; others work it out."""


class State:
    """A run after an event of its own, which is parsed only if a filter asks."""

    def __init__(self, run: str, event: bytes | None, robot_id: str | None = None) -> None:
        """`event` None: the log does not say any more. `robot_id`: as heartbeats name it since."""
        self.run = run
        self.event = event
        self._robot_id = robot_id

    @cached_property
    def record(self) -> TaskRecord | None:
        if self.event is None:
            return None
        record = TaskRecordEvent.FromString(self.event).task_record
        if self._robot_id is not None:
            record.robot_id = self._robot_id
        return record

    def with_robot(self, robot_id: str) -> "State":
        """Itself, if that is its robot."""
        if self.record is None or self.record.robot_id == robot_id:
            return self
        return State(self.run, self.event, robot_id)


@dataclass(frozen=True, eq=False)
class Change:
    """An event of a run, with the run as it was before and after."""

    run: str
    event: Event
    before: State | None
    after: State | None
    """None: there is no such run yet, or any more."""

    @cached_property
    def progress(self) -> Event | None:
        """Of a report's last event: the run as its own last event left it, with the new counts.

        None if the log does not say how it was left.
        """
        if self.after is None or self.after.event is None:
            return None
        event = TaskRecordEvent.FromString(self.after.event)
        block = TaskRecordEvent.FromString(self.event.event)
        event.seq = event.task_record.seq = self.event.seq
        event.event_time.CopyFrom(block.event_time)
        event.actor, event.reason = block.actor, ""
        event.block_counts.CopyFrom(block.block_counts)
        event.progress = event.task_record.progress = block.progress
        event.task_record.block_counts.CopyFrom(block.block_counts)
        event.task_record.update_time.CopyFrom(block.event_time)
        return Event(self.event.seq, self.event.seq, Kind.RUN, event.SerializeToString(), None)


class Selection:
    """Which changes a reader is told: those of runs that match its filter before or after them."""

    def __init__(self, f: TaskRecordFilter, *, blocks: bool) -> None:
        self.key = f.SerializeToString(deterministic=True), blocks
        self.blocks = blocks
        self._ids = frozenset(f.ids)
        self._matches = predicate(f)
        self._all = not f.ByteSize()

    def of(self, changes: Iterable[Change]) -> Iterator[Change]:
        """Without blocks: the changes of runs, and the last event of each report."""
        known: State | None = None
        matched = False
        for change in changes:
            if not self.blocks and _within_report(change.event):
                continue
            if not self._all:
                if change.before is not known:
                    matched = self._has(change.before)
                told, known = matched, change.after
                if change.after is not change.before:
                    matched = self._has(change.after)
                if not (told or matched):
                    continue
            yield change

    def _has(self, state: State | None) -> bool:
        if state is None:
            return False
        if state.record is None:  # retention has taken the answer: once too often is harmless
            return not self._ids or state.run in self._ids
        return self._matches(state.record)


def _within_report(event: Event) -> bool:
    """Only the last event of a report carries the counts, which is all that progress needs."""
    return event.kind == Kind.BLOCK and event.seq != event.group_seq


class Told:
    """What one selection leaves of a chunk."""

    def __init__(self, changes: Iterable[Change], *, blocks: bool) -> None:
        self.changes: list[Change] = []
        """To be sent as they are."""
        self.progress: dict[str, Change] = {}
        """Run -> its last report that no change of the run follows."""
        self._framed: dict[bool, list[bytes] | asyncio.Future[list[bytes]]] = {}
        for change in changes:
            if blocks or change.event.kind != Kind.BLOCK:
                self.changes.append(change)
                self.progress.pop(change.run, None)
            else:
                self.progress[change.run] = change

    async def framed(self, *, full: bool) -> list[bytes]:
        """In messages, made once for all who read it."""
        if not self.changes:
            return []
        found = self._framed.get(full)
        if found is None:
            events = [change.event for change in self.changes]
            if is_large(events):
                making = in_thread(messages, events, full=full)
                found = self._framed[full] = asyncio.ensure_future(making)
            else:
                found = self._framed[full] = messages(events, full=full)
        return found if isinstance(found, list) else await asyncio.shield(found)

    def only(self, wanted: Callable[[Change], bool], *, blocks: bool) -> "Told":
        """Itself, with the messages that are made, if that is all of it."""
        changes = [*self.changes, *self.progress.values()]
        left = [change for change in changes if wanted(change)]
        return self if len(left) == len(changes) else Told(left, blocks=blocks)


@dataclass(frozen=True, eq=False)
class Chunk:
    """Some changes, those of each run together and in the order of its seqs."""

    changes: Sequence[Change]
    end: Place
    """Where a watch stands that was told it."""
    number: int
    """Of the reading of the log up to which `end` goes; 0: of none."""
    moment: Moment
    """Of a reading that saw all that `end` says was told; until then that was true."""
    beyond: Mapping[str, int]
    """Run -> the last seq that was told although it stands after `end`."""
    until: int
    """Of the first reading that goes beyond that, too."""
    size: int = 0
    """Bytes of the events."""
    _told: dict[tuple[bytes, bool], Told] = field(default_factory=dict)

    def told(self, selection: Selection) -> Told:
        found = self._told.get(selection.key)
        if found is None:
            found = Told(selection.of(self.changes), blocks=selection.blocks)
            if len(self._told) < _SHARED:
                self._told[selection.key] = found
        return found

    def forget_told(self) -> None:
        """Who comes later makes its own: what is kept for readers is bounded."""
        self._told.clear()
