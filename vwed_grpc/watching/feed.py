"""Watching many runs: the tenant's log, filtered, from wherever a resume token says."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from vwed.v1.record_service_pb2 import WatchTaskRecordsResponse
from vwed.v1.task_record_event_pb2 import TaskRecordEvent
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordFilter

from vwed_grpc.domain.errors import OutOfRange
from vwed_grpc.domain.lifecycle import OPEN
from vwed_grpc.domain.ordering import OrderTerm
from vwed_grpc.domain.run_filter import matches
from vwed_grpc.storage import feed, rows, run_lists, task_records
from vwed_grpc.storage.events import Event, Kind
from vwed_grpc.storage.feed import Entry, Horizon, Position
from vwed_grpc.storage.pool import ReadingPool
from vwed_grpc.watching.events import messages
from vwed_grpc.watching.hub import POLL_SECONDS, POLL_SECONDS_ALONE
from vwed_grpc.watching.resume import ResumePoint
from vwed_grpc.watching.snapshot import present_states, state
from vwed_grpc.watching.wakeups import Wakeups

PROGRESS_SECONDS = 1.0
"""Without block events, a run's progress is told at most this often."""
SETTLE_SECONDS = 0.05
"""After a wake-up: how soon to look again while older transactions are still under way."""
SNAPSHOT_RUNS = 200
SNAPSHOT_BYTES = 1 << 20
"""A snapshot that holds more, with the blocks of many runs, is sent before it is read on."""

_SNAPSHOT = WatchTaskRecordsResponse(snapshot=True).SerializeToString()
_CREATION = (OrderTerm("create_time"), OrderTerm("id"))


@dataclass(frozen=True, slots=True)
class Selection:
    """What one caller watches."""

    tenant: str
    filter: TaskRecordFilter
    blocks: bool
    full: bool
    bookmark: float
    """Seconds."""
    fingerprint: bytes
    """Of the arguments that a resume token is bound to."""
    kept: timedelta | None
    """How long events are; None: for ever."""


class Feed:
    """One stream over many runs."""

    def __init__(
        self, pool: ReadingPool, wakeups: Wakeups, channel: str, incarnation: str, what: Selection
    ) -> None:
        self._pool = pool
        self._wakeups = wakeups
        self._channel = channel
        self._incarnation = incarnation
        self._what = what
        self._woken = asyncio.Event()
        self._at = Position(0)
        self._floor = Position(0)
        """Where to resume while progress waits to be told."""
        self._delivered: dict[str, tuple[int, int]] = {}
        """Run -> the last seq sent, and the transaction number from which that cannot matter."""
        self._progress: dict[str, Event] = {}
        """Run -> the newest block event that was not yet told as progress."""
        self._told: dict[str, float] = {}
        """Run -> when its progress was told."""

    async def messages(self, token: str) -> AsyncIterator[bytes]:
        """Serialized WatchTaskRecordsResponses, until the caller leaves.

        Raises InvalidArgument or OutOfRange for a token that leads nowhere.
        """
        with self._wakeups.listen(self._channel, lambda _: self._woken.set()):
            now = await feed.horizon(self._pool)
            point = ResumePoint(Position(now.readable), now.time, in_snapshot=True)
            if token:
                point = ResumePoint.of(token, self._what.fingerprint, self._incarnation)
                if point.position.xact > now.begun:
                    raise OutOfRange("RESUME_TOKEN_UNKNOWN", "the token is of another history")
                if self._what.kept is not None and point.said_at < now.time - self._what.kept:
                    raise OutOfRange(
                        "RESUME_TOKEN_EXPIRED", "the token is older than what retention kept"
                    )
            self._at = point.position
            if point.in_snapshot:
                async for message in self._snapshot(point):
                    yield message
            async for message in self._changes():
                yield message

    async def _snapshot(self, point: ResumePoint) -> AsyncIterator[bytes]:
        what, listing = self._what, run_lists.LISTING
        where = [*run_lists.where(what.tenant, what.filter), task_records.among(OPEN)]
        told: dict[str, int] = {}
        more = True
        while more:
            page = await listing.page(
                self._pool,
                where,
                _CREATION,
                size=SNAPSHOT_RUNS,
                position=point.after,
                full=what.full,
            )
            held: list[Event] = []
            sent = point
            for record in page.items:
                async for states in self._states(record):
                    if sum(len(s.event) for s in held) > SNAPSHOT_BYTES:
                        for message in self._framed(held, sent, point):
                            yield message
                        held, sent = [], point
                    held += states
                told[record.id] = record.seq  # as the states told it, which may be newer
                # All that is held or sent are whole runs now.
                point = replace(point, after=(rows.moment(record.create_time), record.id))
            more = page.next_position is not None
            point = replace(point, in_snapshot=more, after=page.next_position)
            for message in self._framed(held, sent, point):
                yield message
        now = await feed.horizon(self._pool)
        self._delivered = {run: (seq, now.begun) for run, seq in told.items()}

    def _framed(
        self, states: Sequence[Event], before: ResumePoint, after: ResumePoint
    ) -> Iterator[bytes]:
        """Messages of a snapshot; one message of none, if there is nothing to tell."""
        *firsts, last = messages(states, full=True) or [b""]
        for message in firsts:
            yield message + _SNAPSHOT + self._token(before)
        yield last + _SNAPSHOT + self._token(after)

    async def _states(self, record: TaskRecord) -> AsyncIterator[list[Event]]:
        """A run's state and, if asked for, its blocks', in pages."""
        what = self._what
        if not what.blocks:
            # Progress is part of the state, so its last change is that of any block.
            yield [state(record.id, record.seq, record, full=what.full)]
            return
        run = await task_records.get_run(self._pool, what.tenant, record.id)
        if run is not None:
            record.seq = run.record.seq
            async for page in present_states(self._pool, what.tenant, run, full=what.full):
                yield page

    async def _changes(self) -> AsyncIterator[bytes]:
        said, settled = time.monotonic(), 0
        while True:
            woken = self._woken.is_set()
            self._woken.clear()
            now = await feed.horizon(self._pool)
            if woken:
                settled = now.begun  # what woke us has a number below this
            async for message in self._advance(now):
                yield message
                said = time.monotonic()
            async for message in self._tell_progress(now):
                yield message
                said = time.monotonic()
            if time.monotonic() - said >= self._what.bookmark:
                yield self._token(self._point(now))
                said = time.monotonic()
            await self._pause(said, settling=now.readable < settled)

    async def _pause(self, said: float, *, settling: bool) -> None:
        """Until something may have happened, or is to be said."""
        waits = [
            POLL_SECONDS if self._wakeups.connected else POLL_SECONDS_ALONE,
            said + self._what.bookmark - time.monotonic(),
        ]
        if settling:
            waits.append(SETTLE_SECONDS)
        if self._progress:
            waits.append(PROGRESS_SECONDS / 4)
        try:
            async with asyncio.timeout(max(min(waits), 0.001)):
                await self._woken.wait()
        except TimeoutError:
            pass

    async def _advance(self, now: Horizon) -> AsyncIterator[bytes]:
        """Sends what can be read up to the horizon."""
        what = self._what
        while self._at.xact < now.readable:
            end = await feed.slice_end(self._pool, what.tenant, self._at, now.readable)
            window = await feed.read(
                self._pool,
                what.tenant,
                what.filter,
                self._at,
                end,
                blocks=what.blocks,
                full=what.full,
            )
            entries = window
            if len(window) == feed.WINDOW or end.xact < now.readable:
                entries = _whole_groups(window)
            if len(window) == feed.WINDOW or len(entries) < len(window):
                end = entries[-1].position
            if not self._progress:
                self._floor = self._at
            out = await self._in_order(entries, now) if entries else []
            self._at = end
            before, after = self._floor_token(now), self._token(self._point(now))
            framed = messages(out, full=what.full)
            for n, message in enumerate(framed):
                yield message + (after if n == len(framed) - 1 else before)
            self._forget()

    async def _in_order(self, entries: list[Entry], now: Horizon) -> list[Event]:
        """What is to be sent of the entries: each run's events by seq, none twice, none missed."""
        what = self._what
        runs: dict[str, dict[int, Event]] = {}
        left: set[str] = set()
        for entry in entries:
            runs.setdefault(entry.position.run, {})[entry.event.seq] = entry.event
            if not entry.matching:
                left.add(entry.position.run)
        upto = {run: max(events) for run, events in runs.items()}
        for entry in await feed.overtaken(
            self._pool,
            what.tenant,
            entries[-1].position,
            upto,
            blocks=what.blocks,
            full=what.full,
        ):
            runs[entry.position.run].setdefault(entry.event.seq, entry.event)
        firsts = {run: min(runs[run]) for run in left}
        states = await feed.states_before(self._pool, what.tenant, firsts) if left else {}
        out: list[Event] = []
        for run, events in runs.items():
            sent, _ = self._delivered.get(run, (0, 0))
            in_order: Iterable[Event] = [events[seq] for seq in sorted(events)]
            if run in left:
                in_order = self._while_it_matched(run, in_order, states.get(run))
            out += [event for event in in_order if event.seq > sent and self._wanted(run, event)]
            self._delivered[run] = (max(sent, upto[run]), now.begun)
        return out

    def _while_it_matched(
        self, run: str, events: Iterable[Event], state: TaskRecord | None
    ) -> Iterator[Event]:
        """Of a run that does not match: what happened while it did, and the change that ended it.

        `state` is what the run was before; if retention has taken that, it may have matched.
        """
        f = self._what.filter
        matched = matches(f, state) if state else not f.ids or run in f.ids
        for event in events:
            before = matched and event.seq > 1
            if event.kind in (Kind.RUN, Kind.FINISHED):
                matched = matches(f, TaskRecordEvent.FromString(event.event).task_record)
            if before or matched:
                yield event

    def _wanted(self, run: str, event: Event) -> bool:
        """Whether to send an event as it is; blocks that nobody asked for become progress."""
        if event.kind == Kind.BLOCK and not self._what.blocks:
            self._progress[run] = event
            return False
        self._progress.pop(run, None)  # the event that follows says it too
        return True

    async def _tell_progress(self, now: Horizon) -> AsyncIterator[bytes]:
        """The runs whose progress was last told long enough ago, as states of theirs."""
        clock = time.monotonic()
        self._told = {r: at for r, at in self._told.items() if clock - at < PROGRESS_SECONDS}
        due = [run for run in self._progress if run not in self._told]
        states = [s for run in due if (s := await self._progress_state(run)) is not None]
        for run in due:
            del self._progress[run]
            self._told[run] = clock
        for message in messages(states, full=False):
            yield message + self._token(self._point(now))

    async def _progress_state(self, run: str) -> Event | None:
        """The run as its last own event left it, with the counts of the last block report.

        None if it has changed since: that will be told by itself.
        """
        report = self._progress[run]
        event = await feed.newest_state(self._pool, self._what.tenant, run, report.seq)
        if event is None:
            return None
        block = TaskRecordEvent.FromString(report.event)
        event.seq = event.task_record.seq = report.seq
        event.event_time.CopyFrom(block.event_time)
        event.actor, event.reason = block.actor, ""
        event.block_counts.CopyFrom(block.block_counts)
        event.progress = event.task_record.progress = block.progress
        event.task_record.block_counts.CopyFrom(block.block_counts)
        event.task_record.update_time.CopyFrom(block.event_time)
        return Event(report.seq, report.seq, Kind.RUN, event.SerializeToString(), None)

    def _forget(self) -> None:
        """Drops what can no longer come twice or out of order."""
        self._delivered = {
            run: (seq, until)
            for run, (seq, until) in self._delivered.items()
            if until > self._at.xact
        }

    def _point(self, now: Horizon) -> ResumePoint:
        return ResumePoint(self._floor if self._progress else self._at, now.time)

    def _floor_token(self, now: Horizon) -> bytes:
        return self._token(ResumePoint(self._floor, now.time))

    def _token(self, point: ResumePoint) -> bytes:
        token = point.token(self._what.fingerprint, self._incarnation)
        return WatchTaskRecordsResponse(resume_token=token).SerializeToString()


def _whole_groups(entries: list[Entry]) -> list[Entry]:
    """The entries but for a report that is cut off at the end, unless there is nothing else."""
    if not entries:
        return entries
    run, group = entries[-1].position.run, entries[-1].event.group_seq
    if entries[-1].event.seq == group:
        return entries
    whole = [e for e in entries if e.position.run != run or e.event.group_seq != group]
    return whole or entries
