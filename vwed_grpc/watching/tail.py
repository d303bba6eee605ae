"""The newest of a tenant's log, as watches of many runs are told it.

It is told as it is heard: by this process's own commits, and by wake-ups. What a reading of the log
finds besides is told then, and the reading is a mark: all that it saw was told. Nothing in here
waits; `log.TailedLog` reads for it.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from vwed_grpc.storage.feed import Entry, Moment, Stretch
from vwed_grpc.watching.chunk import Chunk
from vwed_grpc.watching.known import KnownRuns
from vwed_grpc.watching.news import News
from vwed_grpc.watching.reading import Mark
from vwed_grpc.watching.sleep import Sleepers

KEPT_SECONDS = 10.0
KEPT_BYTES = 4 << 20
"""For watchers that take it as it comes; who lags reads the log until it has caught up."""


class Tail:
    """What the watchers of many runs of one tenant are told, in pieces that are numbered."""

    def __init__(self) -> None:
        self.known = KnownRuns()
        self.mark: Mark | None = None
        """The last reading of the log; None: it has yet to be read."""
        self.begun = 0
        """Readings that have begun."""
        self.forgotten = 0
        """A watch that stands at this mark, or at a later one, has had all that is not kept."""
        self.first = 0
        """The number of the first piece that is kept."""
        self.failure: Exception | None = None
        """Why the log cannot be read: nothing is told any more."""
        self._chunks: deque[tuple[float, Chunk]] = deque()
        self._bytes = 0
        self._told: dict[str, tuple[int, int]] = {}
        """Run -> the last seq that was told since the mark, and how many readings had begun."""
        self._heard: dict[str, dict[int, Entry]] = {}
        self._older: dict[str, dict[int, Entry]] = {}
        """What was heard since the last reading began, and before: that one finds it as well."""
        self._heard_bytes = 0
        """Of `_heard`: beyond KEPT_BYTES it is read again."""
        self._unread = False
        """Something was heard of, whose events did not come along."""
        self._moved = asyncio.Event()
        self.sleepers = Sleepers()
        """Those of its watchers: whatever is new wakes them."""

    @property
    def end(self) -> int:
        """The number that the next piece will have."""
        return self.first + len(self._chunks)

    def chunk(self, number: int) -> Chunk | None:
        """One that is kept; None: it is yet to come."""
        return self._chunks[number - self.first][1] if number < self.end else None

    async def marked(self, number: int) -> Mark:
        """The last mark, once it has such a number or a higher one. Raises `failure`."""
        while self.failure is None and (self.mark is None or self.mark.number < number):
            await self._moved.wait()
        if self.failure is not None:
            raise self.failure
        assert self.mark is not None  # noqa: S101 - it was waited for
        return self.mark

    def fail(self, why: Exception) -> None:
        self.failure = why
        self._moved.set()
        self.sleepers.wake()

    def hear(self, news: News) -> None:
        """What a commit has said, or a reading of one run has found."""
        if news.events and self._heard_bytes <= KEPT_BYTES:
            entries = {entry.event.seq: entry for entry in news.entries}
            self._heard.setdefault(news.run, {}).update(entries)
            self._heard_bytes += sum(event.size for event in news.events)
        elif news.newest > max(self._last_told(news.run), self.known.seq(news.run) or 0):
            self._unread = True

    def tell_heard(self) -> bool:
        """Tells of each run what goes on where it was left; whether that was all that was heard."""
        if self.mark is None:
            return False
        told: dict[str, list[Entry]] = {}
        rest: dict[str, dict[int, Entry]] = {}
        for run, heard in self._heard.items():
            last = self.known.seq(run)
            if last is None and self._is_created(run, heard):
                last = 0
            if last is None:
                rest[run] = heard
                continue
            following = _whole_groups(heard, last)
            if following:
                told[run] = following
                last = following[-1].event.seq
            if max(heard) > last:
                rest[run] = {seq: entry for seq, entry in heard.items() if seq > last}
        self._heard = rest
        if not rest:
            self._heard_bytes = 0
        if told:
            self._tell(told, until=self.begun + 1)
        return not rest and not self._unread

    def _is_created(self, run: str, heard: Mapping[int, Entry]) -> bool:
        """Whether the run's first event was heard, and was not told before: it may come late."""
        assert self.mark is not None  # noqa: S101 - nothing is told before
        xact = heard[1].xact if 1 in heard else 0
        return bool(xact and not self._last_told(run) and not self.mark.place.since.sees(xact))

    def begin_reading(self) -> None:
        """What was heard until now, the reading will find."""
        self.begun += 1
        self._older, self._heard = self._heard, {}
        self._heard_bytes = 0
        self._unread = False

    def untold(self, found: Iterable[Stretch]) -> list[Stretch]:
        """What of it was not told before."""
        owed = (replace(one, first=max(one.first, self._last_told(one.run) + 1)) for one in found)
        return [one for one in owed if one.first <= one.last]

    def missing(self, stretches: Iterable[Stretch]) -> list[Stretch]:
        """What of it was not heard, either."""
        missing = []
        for one in stretches:
            heard = self._older.get(one.run, {}).keys() | self._heard.get(one.run, {}).keys()
            first, last = one.first, one.last
            while first <= last and first in heard:
                first += 1
            while last > first and last in heard:
                last -= 1
            if first <= last:
                missing.append(Stretch(one.run, first, last))
        return missing

    def tell_read(self, stretches: Iterable[Stretch], read: Mapping[str, Sequence[Entry]]) -> None:
        """Tells what the reading has found, and what was heard of it."""
        told: dict[str, list[Entry]] = {}
        for one in self.untold(stretches):
            entries = self._older.get(one.run, {}) | self._heard.get(one.run, {})
            entries |= {entry.event.seq: entry for entry in read.get(one.run, ())}
            own = [entries[seq] for seq in sorted(entries) if one.first <= seq <= one.last]
            if own:  # else retention was faster
                told[one.run] = own
        if told:
            self._tell(told, until=self.begun)

    def end_reading(self, moment: Moment, found: Iterable[Stretch] = ()) -> None:
        self._older = {}
        self._told = {run: told for run, told in self._told.items() if told[1] > self.begun}
        seen = {one.run: one.last for one in found if one.run in self._told}
        self.mark = Mark(self.begun, moment, seen)
        self._drop()
        self._moved.set()
        self._moved = asyncio.Event()

    def _last_told(self, run: str) -> int:
        return self._told.get(run, (0, 0))[0]

    def _tell(self, runs: Mapping[str, Sequence[Entry]], *, until: int) -> None:
        assert self.mark is not None  # noqa: S101 - the first reading finds nothing
        changes = [change for run, own in runs.items() for change in self.known.changes(run, own)]
        self.known.trim()
        last = {run: own[-1].event.seq for run, own in runs.items()}
        self._told |= {run: (seq, until) for run, seq in last.items()}
        size = sum(change.event.size for change in changes)
        chunk = Chunk(
            changes,
            self.mark.place,
            self.mark.number,
            self.mark.moment,
            beyond=last,
            until=until,
            size=size,
        )
        if self._chunks:
            self._chunks[-1][1].forget_told()
        self._chunks.append((asyncio.get_running_loop().time(), chunk))
        self._bytes += size
        self._drop()
        self.sleepers.wake()

    def _drop(self) -> None:
        before = asyncio.get_running_loop().time() - KEPT_SECONDS
        while self._chunks and (self._bytes > KEPT_BYTES or self._chunks[0][0] < before):
            _, oldest = self._chunks.popleft()
            self.first += 1
            self._bytes -= oldest.size
            self.forgotten = max(self.forgotten, oldest.until)


def _whole_groups(heard: Mapping[int, Entry], last: int) -> list[Entry]:
    """The reports and transitions that follow `last` without a gap."""
    entries: list[Entry] = []
    whole = 0
    while (entry := heard.get(last + len(entries) + 1)) is not None:
        entries.append(entry)
        if entry.event.seq == entry.event.group_seq:
            whole = len(entries)
    return entries[:whole]
