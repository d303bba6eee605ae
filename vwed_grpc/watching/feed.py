"""Watching many runs: the tenant's log, filtered, from wherever a resume token says."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from math import inf

from vwed.v1.record_service_pb2 import WatchTaskRecordsResponse
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordFilter

from vwed_grpc.domain.errors import OutOfRange
from vwed_grpc.domain.lifecycle import OPEN
from vwed_grpc.domain.ordering import OrderTerm
from vwed_grpc.storage import feed, rows, run_lists, task_records
from vwed_grpc.storage.events import Event
from vwed_grpc.storage.feed import Horizon, Position
from vwed_grpc.storage.incarnation import Incarnation
from vwed_grpc.storage.pool import ReadingPool
from vwed_grpc.watching.chunk import Change, Chunk, Recent, Selection, both, still_recent
from vwed_grpc.watching.events import messages
from vwed_grpc.watching.log import TailedLog
from vwed_grpc.watching.resume import ResumePoint
from vwed_grpc.watching.sleep import Sleep
from vwed_grpc.watching.snapshot import present_states, state

PROGRESS_SECONDS = 1.0
"""Without block events, a run's progress is told at most this often."""
PROGRESS_PAUSE = 0.25
"""Runs whose progress is due within such a time are told together."""
SNAPSHOT_RUNS = 200
SNAPSHOT_BYTES = 256 << 10
"""A snapshot that holds more, with the blocks of many runs, is sent before it is read on."""

_SNAPSHOT = WatchTaskRecordsResponse(snapshot=True).SerializeToString()
_CREATION = (OrderTerm("create_time"), OrderTerm("id"))


@dataclass(frozen=True, slots=True)
class Request:
    """What one caller watches."""

    tenant: str
    filter: TaskRecordFilter
    blocks: bool
    full: bool
    bookmark: float
    """Seconds."""
    fingerprint: bytes
    """Of the arguments that a resume token is bound to."""
    incarnation: Incarnation
    """Of the data, to which it is bound as well."""
    kept: timedelta | None
    """How long events are; None: for ever."""


class Feed:
    """One stream over many runs."""

    def __init__(self, pool: ReadingPool, log: TailedLog, what: Request) -> None:
        self._pool = pool
        self._log = log
        self._what = what
        self._selection = Selection(what.filter, blocks=what.blocks)
        self._at = Position(0)
        self._floor = Position(0)
        """Where to resume while progress waits to be told."""
        self._delivered: Recent = {}
        """By the snapshot, or as other readers of the log have read it."""
        self._read_by: object = None
        self._recent: Recent = {}
        """Who read the last chunk, and what it had told by then."""
        self._progress: dict[str, Change] = {}
        """Run -> its newest report that was not yet told as progress."""
        self._told: dict[str, float] = {}
        """Run -> when its progress was told."""
        self._told_at = 0.0
        """When that of any run was."""

    async def messages(self, token: str) -> AsyncIterator[bytes]:
        """Serialized WatchTaskRecordsResponses, until the caller leaves.

        Raises InvalidArgument or OutOfRange for a token that leads nowhere.
        """
        what = self._what
        now = await feed.horizon(self._pool)
        point = ResumePoint(Position(now.readable), now.time, now.lsn, in_snapshot=True)
        if token:
            point = ResumePoint.of(token, what.fingerprint, what.incarnation)
            if point.position.xact > now.begun:
                raise OutOfRange("RESUME_TOKEN_UNKNOWN", "the token is of another history")
            if what.kept is not None and point.said_at < now.time - what.kept:
                raise OutOfRange(
                    "RESUME_TOKEN_EXPIRED", "the token is older than what retention kept"
                )
        self._at = point.position
        if point.in_snapshot:
            async for message in self._snapshot(point):
                yield message
        with self._log.watcher() as sleep:
            async for message in self._changes(sleep, now):
                yield message

    async def _snapshot(self, point: ResumePoint) -> AsyncIterator[bytes]:
        what, listing = self._what, run_lists.LISTING
        where = [*run_lists.where(what.tenant, what.filter), task_records.among(OPEN)]
        told: dict[str, int] = {}
        more = True
        while more:
            read = partial(
                listing.page,
                self._pool,
                where,
                _CREATION,
                size=SNAPSHOT_RUNS,
                position=point.after,
                full=what.full,
            )
            page = await self._log.catch_up.take_turn(what.tenant, read)
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
            async for page in present_states(
                self._pool, self._log.catch_up, what.tenant, run, full=what.full
            ):
                yield page

    async def _changes(self, sleep: Sleep, now: Horizon) -> AsyncIterator[bytes]:
        clock = asyncio.get_running_loop().time
        said = clock()
        while True:
            chunk = await self._log.after(self._at)
            if chunk is not None:
                out = self._take(chunk)
                now = chunk.horizon
            else:
                out = []
                now = self._log.horizon or now
                self._at = max(self._at, self._log.end)
            out += self._due_progress(clock(), now)
            if not out and clock() >= said + self._what.bookmark:
                out = [self._token(self._point(now))]
            for message in out:
                yield message
                said = clock()
            if chunk is None:
                await sleep.until(min(said + self._what.bookmark, self._next_progress()))

    def _take(self, chunk: Chunk) -> list[bytes]:
        """What is to be sent of a chunk: each run's events by seq, none twice."""
        what, now = self._what, chunk.horizon
        told = chunk.told(self._selection)
        if chunk.reader is not self._read_by:
            self._delivered = both(self._delivered, self._recent)
        self._read_by, self._recent = chunk.reader, chunk.recent
        self._delivered = still_recent(self._delivered, self._at)
        if self._at > chunk.start or self._delivered:
            told = told.only(self._is_news, blocks=what.blocks)
        if not self._progress:
            self._floor = max(self._at, chunk.start)
        for change in told.changes:
            self._progress.pop(change.run, None)  # this says it too
        self._progress |= told.progress
        before = self._floor_token(now)
        self._at = chunk.end
        framed = told.framed(full=what.full)
        if not framed:
            return []
        *firsts, last = framed
        return [*(message + before for message in firsts), last + self._token(self._point(now))]

    def _is_news(self, change: Change) -> bool:
        sent, _ = self._delivered.get(change.run, (0, 0))
        return change.position > self._at and change.event.seq > sent

    def _due_progress(self, clock: float, now: Horizon) -> Iterator[bytes]:
        """The runs whose progress was last told long enough ago, as states of theirs."""
        if clock < self._next_progress():
            return
        self._told_at = clock
        self._told = {r: at for r, at in self._told.items() if clock - at < PROGRESS_SECONDS}
        due = [run for run in self._progress if run not in self._told]
        states = [s for run in due if (s := self._progress.pop(run).progress) is not None]
        self._told |= dict.fromkeys(due, clock)
        for message in messages(states, full=False):
            yield message + self._token(self._point(now))

    def _next_progress(self) -> float:
        """When that of a run is due."""
        if not self._progress:
            return inf
        first = min(self._told.get(run, -inf) for run in self._progress) + PROGRESS_SECONDS
        return max(first, self._told_at + PROGRESS_PAUSE)

    def _point(self, now: Horizon) -> ResumePoint:
        return ResumePoint(self._floor if self._progress else self._at, now.time, now.lsn)

    def _floor_token(self, now: Horizon) -> bytes:
        return self._token(ResumePoint(self._floor, now.time, now.lsn))

    def _token(self, point: ResumePoint) -> bytes:
        token = point.token(self._what.fingerprint, self._what.incarnation)
        return WatchTaskRecordsResponse(resume_token=token).SerializeToString()
