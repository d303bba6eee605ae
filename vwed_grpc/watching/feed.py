"""Watching many runs: the tenant's log, filtered, from wherever a resume token says."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from math import inf

from vwed.v1.record_service_pb2 import WatchTaskRecordsResponse
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordFilter

from vwed_grpc.domain.errors import OutOfRange
from vwed_grpc.storage import feed, rows, task_records
from vwed_grpc.storage.events import Event
from vwed_grpc.storage.feed import Moment, Snapshot
from vwed_grpc.storage.incarnation import Incarnation
from vwed_grpc.storage.pool import ReadingPool
from vwed_grpc.watching.chunk import Change, Chunk, Selection
from vwed_grpc.watching.events import messages
from vwed_grpc.watching.log import TailedLog
from vwed_grpc.watching.reading import Mark, find_way, read_on
from vwed_grpc.watching.resume import Place, ResumePoint
from vwed_grpc.watching.sleep import Sleep
from vwed_grpc.watching.snapshot import states_of_run
from vwed_grpc.watching.snapshot_page import SnapshotPage, read_page
from vwed_grpc.watching.tail import Tail

PROGRESS_SECONDS = 1.0
"""Without block events, a run's progress is told at most this often."""
PROGRESS_PAUSE = 0.25
"""Runs whose progress is due within such a time are told together."""
SNAPSHOT_BYTES = 256 << 10
"""A snapshot that holds more, with the blocks of many runs, is sent before it is read on."""

_SNAPSHOT = WatchTaskRecordsResponse(snapshot=True).SerializeToString()


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
        self.lags = True
        """It has yet to catch up with the tail."""
        self._place = self._floor = Place(Snapshot(0))
        """Where to resume, and where to while progress waits to be told."""
        self._number = 0
        """Of the mark at which the watch stands; 0: it stands at none."""
        self._next: int | None = None
        """The number of the next piece of the tail; None: the watch lags behind it."""
        self._told: dict[str, int] = {}
        self._told_until = 0
        """Run -> the last seq that was told although it stands after `_place`; and the mark from
        which on there are none."""
        self._early: deque[tuple[int, Mapping[str, int]]] = deque()
        """The same of pieces of the tail, each with its mark: wanted if the watch falls behind."""
        self._progress: dict[str, Change] = {}
        """Run -> its newest report that was not yet told as progress."""
        self._progress_told: dict[str, float] = {}
        """Run -> when its progress was told."""
        self._told_at = 0.0
        """When that of any run was."""

    async def messages(self, token: str) -> AsyncIterator[bytes]:
        """Serialized WatchTaskRecordsResponses, until the caller leaves.

        Raises InvalidArgument or OutOfRange for a token that leads nowhere.
        """
        with self._log.tail() as (tail, sleep):
            if token:
                point = await self._resume(token)
            else:
                mark = await tail.marked(1)
                point = ResumePoint.at(mark.place, mark.moment, in_snapshot=True)
                # From the mark on, not from now: the page may be another watch's, read before now.
                self._number = mark.number
            self._place = self._floor = point.place
            if point.in_snapshot:
                async for message in self._snapshot(point):
                    yield message
                self._told_until = tail.begun + 1  # which sees all that the states were read from
            async for message in self._changes(tail, sleep):
                yield message

    async def _resume(self, token: str) -> ResumePoint:
        what = self._what
        point = ResumePoint.of(token, what.fingerprint, what.incarnation)
        now = await feed.now(self._pool, what.tenant)
        since, upto, *_ = point.place
        if not all(now.snapshot.covers(told) for told in (since, upto or since)):
            raise OutOfRange("RESUME_TOKEN_UNKNOWN", "the token is of another history")
        if what.kept is not None and point.said_at < now.time - what.kept:
            raise OutOfRange("RESUME_TOKEN_EXPIRED", "the token is older than what retention kept")
        return replace(point, said_at=now.time)

    async def _snapshot(self, point: ResumePoint) -> AsyncIterator[bytes]:
        what = self._what
        more = True
        while more:
            # Who begins at the same place may have the same page, for it was read after that.
            key = "page", what.fingerprint, what.full, point.place, point.after
            read = partial(
                read_page,
                self._pool,
                what.tenant,
                point.after,
                filter_=what.filter,
                blocks=what.blocks,
                full=what.full,
            )
            page = await self._log.catch_up.ask(what.tenant, key, read, lambda page: page.size)
            held, size, sent = list[Event](), 0, point
            for record in page.records:
                async for states in self._states(record, page):
                    if size > SNAPSHOT_BYTES:
                        for message in self._framed(held, sent, point):
                            yield message
                        held, size, sent = [], 0, point
                    held += states
                    size += sum(len(state.event) for state in states)
                # All that is held or sent are whole runs now.
                point = replace(point, after=(rows.moment(record.create_time), record.id))
            more = page.next_position is not None
            point = replace(point, in_snapshot=more, after=page.next_position)
            for message in self._framed(held, sent, point):
                yield message

    def _framed(
        self, states: Sequence[Event], before: ResumePoint, after: ResumePoint
    ) -> Iterator[bytes]:
        """Messages of a snapshot; one message of none, if there is nothing to tell."""
        *firsts, last = messages(states, full=True) or [b""]
        for message in firsts:
            yield message + _SNAPSHOT + self._token(before)
        yield last + _SNAPSHOT + self._token(after)

    async def _states(self, record: TaskRecord, page: SnapshotPage) -> AsyncIterator[list[Event]]:
        """A run's state and, if asked for, its blocks', in pages."""
        what = self._what
        if record.id in page.states:
            self._told[record.id], states = page.states[record.id]
            yield states
            return
        run = await task_records.get_run(self._pool, what.tenant, record.id)
        if run is not None:
            self._told[record.id] = run.record.seq
            async for some in states_of_run(
                self._pool, self._log.catch_up, what.tenant, run, full=what.full
            ):
                yield some

    async def _changes(self, tail: Tail, sleep: Sleep) -> AsyncIterator[bytes]:
        clock = asyncio.get_running_loop().time
        said = clock()
        while True:
            chunk = await self._following(tail)
            self.lags = self._next is None
            if chunk is not None:
                moment = chunk.moment
                out = await self._take(chunk)
            else:
                mark = await tail.marked(1)
                moment = mark.moment
                self._stand(mark.place, mark.number)
                out = []
            out += self._due_progress(clock(), moment)
            if not out and clock() >= said + self._what.bookmark:
                out = [self._token(self._point(moment))]
            for message in out:
                yield message
                said = clock()
            if chunk is None:
                await sleep.until(min(said + self._what.bookmark, self._next_progress()))

    async def _following(self, tail: Tail) -> Chunk | None:
        """What comes next, by the tail or, for a watch that lags, from the log; None: nothing yet.

        Raises what keeps the log from being read.
        """
        mark = await tail.marked(1)
        if self._next is not None and self._next < tail.first:
            self._fall_behind()
        if self._next is None:
            if not self._number or self._number < tail.forgotten:
                return await self._read_on(tail, mark)
            self._next = tail.first
        while (chunk := tail.chunk(self._next)) is not None:
            self._next += 1
            if chunk.until > self._number:  # else the watch has read it
                return chunk
        return None

    async def _read_on(self, tail: Tail, mark: Mark) -> Chunk:
        """Towards the mark, or the next one if this watch has been told more: by another server."""
        pool, tenant, place = self._pool, self._what.tenant, self._place
        told = place.upto or place.since
        while mark.number == self._number or not mark.place.since.covers(told):
            self._log.look()
            mark = await tail.marked(mark.number + 1)
        ask, aim = self._log.catch_up.ask, place.upto or mark.place.since
        way = await ask(
            tenant,
            ("way", place.since, place.upto, aim),
            lambda: find_way(pool, tenant, place, aim),
            lambda way: 100 * len(way.stretches),
        )
        chunk = await ask(
            tenant,
            ("log", place, way.upto),
            lambda: read_on(pool, tenant, place, way, mark.moment),
            lambda chunk: 2 * chunk.size,
        )
        if chunk.end != mark.place:
            return replace(chunk, until=mark.number)
        beyond = {**chunk.beyond, **mark.seen}
        return replace(chunk, number=mark.number, beyond=beyond, until=mark.number + 1)

    def _fall_behind(self) -> None:
        self._next = None
        for until, beyond in self._early:
            self._tell_beyond(beyond, until)
        self._early.clear()

    def _tell_beyond(self, beyond: Mapping[str, int], until: int) -> None:
        for run, seq in beyond.items():
            self._told[run] = max(seq, self._told.get(run, 0))
        self._told_until = max(until, self._told_until)

    def _stand(self, place: Place, number: int) -> None:
        self._place, self._number = place, number
        if number >= self._told_until:
            self._told.clear()
        while self._early and self._early[0][0] <= number:
            self._early.popleft()

    async def _take(self, chunk: Chunk) -> list[bytes]:
        """What is to be sent of a chunk: each run's events by seq, none twice."""
        what = self._what
        told = chunk.told(self._selection)
        if self._told:
            told = told.only(self._is_news, blocks=what.blocks)
        if not self._progress:
            self._floor = self._place
        for change in told.changes:
            self._progress.pop(change.run, None)  # this says it too
        self._progress |= told.progress
        before = self._token(ResumePoint.at(self._floor, chunk.moment))
        if self._next is None:
            self._tell_beyond(chunk.beyond, chunk.until)
            self._stand(chunk.end, chunk.number)
        else:
            self._early.append((chunk.until, chunk.beyond))
            # Who came to a mark from elsewhere is further than what was told while it was read.
            if chunk.number > self._number:
                self._stand(chunk.end, chunk.number)
        framed = await told.framed(full=what.full)
        if not framed:
            return []
        *firsts, last = framed
        token = self._token(self._point(chunk.moment))
        return [*(message + before for message in firsts), last + token]

    def _is_news(self, change: Change) -> bool:
        return change.event.seq > self._told.get(change.run, 0)

    def _due_progress(self, clock: float, moment: Moment) -> Iterator[bytes]:
        """The runs whose progress was last told long enough ago, as states of theirs."""
        if clock < self._next_progress():
            return
        self._told_at = clock
        self._progress_told = {
            r: at for r, at in self._progress_told.items() if clock - at < PROGRESS_SECONDS
        }
        due = [run for run in self._progress if run not in self._progress_told]
        states = [s for run in due if (s := self._progress.pop(run).progress) is not None]
        self._progress_told |= dict.fromkeys(due, clock)
        for message in messages(states, full=False):
            yield message + self._token(self._point(moment))

    def _next_progress(self) -> float:
        """When that of a run is due."""
        if not self._progress:
            return inf
        first = min(self._progress_told.get(run, -inf) for run in self._progress) + PROGRESS_SECONDS
        return max(first, self._told_at + PROGRESS_PAUSE)

    def _point(self, moment: Moment) -> ResumePoint:
        return ResumePoint.at(self._floor if self._progress else self._place, moment)

    def _token(self, point: ResumePoint) -> bytes:
        token = point.token(self._what.fingerprint, self._what.incarnation)
        return WatchTaskRecordsResponse(resume_token=token).SerializeToString()
