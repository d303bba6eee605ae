"""Reading a tenant's log: events in pages, and from a resume token on."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from vwed_grpc.storage import feed
from vwed_grpc.storage.feed import Entry, Moment, Snapshot, Stretch, Way
from vwed_grpc.storage.pool import ReadingPool
from vwed_grpc.watching.chunk import Chunk
from vwed_grpc.watching.known import KnownRuns
from vwed_grpc.watching.resume import Place

MAX_EVENTS = 1000
MAX_BYTES = 256 << 10
LARGER = 1, 4, 16, 64
"""So many times MAX_BYTES are read if it takes that to read a report or transition whole."""
MOST_ON_A_WAY = 20_000
"""Events, about, up to the place at which a way is cut that goes over more of them."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A reading of the log: where it stands, of those of one process."""

    number: int
    moment: Moment
    seen: Mapping[str, int]
    """Run -> the last seq that it saw, of runs that were told of while it was read: what is kept of
    these pieces repeats what a watch has had that comes to the mark from elsewhere."""

    @property
    def place(self) -> Place:
        return Place(self.moment.snapshot)


def next_ones(stretches: Sequence[Stretch]) -> Sequence[Stretch]:
    """The first of them, with a page's events or more."""
    events = 0
    for n, one in enumerate(stretches, start=1):
        events += one.last - one.first + 1
        if events >= MAX_EVENTS:
            return stretches[:n]
    return stretches


def up_to(stretches: Iterable[Stretch], end: tuple[str, int] | None) -> Iterable[Stretch]:
    """What of them is not after an event, by order of runs."""
    for one in stretches:
        if end is None or one.run < end[0]:
            yield one
        elif one.run == end[0]:
            yield replace(one, last=end[1])


def after(stretches: Iterable[Stretch], run: str, seq: int) -> list[Stretch]:
    """What of them is left after an event, by order of runs."""
    rest = [one for one in stretches if (one.run, one.last) > (run, seq)]
    if rest and rest[0].run == run:
        rest[0] = replace(rest[0], first=max(rest[0].first, seq + 1))
    return rest


async def page(
    pool: ReadingPool, tenant: str, stretches: Sequence[Stretch]
) -> tuple[list[Entry], tuple[str, int] | None]:
    """The first events, and up to which of them if there are more.

    Whole reports and transitions, unless one of them is too large.
    """
    *wanted, last = next_ones(stretches)
    room = MAX_EVENTS - sum(one.last - one.first + 1 for one in wanted)
    wanted.append(replace(last, last=min(last.last, last.first + room - 1)))
    for times in LARGER:
        entries, all_read = await feed.read(pool, tenant, wanted, max_bytes=times * MAX_BYTES)
        if all_read and wanted == list(stretches):
            return entries, None
        whole = _whole_groups(entries)
        if whole or all_read:
            break
    if not entries:  # retention was faster
        return [], (wanted[-1].run, wanted[-1].last)
    told = whole or entries
    return told, (told[-1].run, told[-1].event.seq)


async def find_way(pool: ReadingPool, tenant: str, place: Place, aim: Snapshot) -> Way:
    """What is to be read from a place on, to come to a snapshot or as near as is not too far."""
    most = None if place.upto else MOST_ON_A_WAY
    return await feed.between(pool, tenant, place.since, place.upto or aim, most=most)


async def read_on(pool: ReadingPool, tenant: str, place: Place, way: Way, moment: Moment) -> Chunk:
    """What goes on from a place on its way, at most a page of it."""
    left = after(way.stretches, place.run, place.seq)
    entries, end = await page(pool, tenant, left) if left else ([], None)
    by_run = grouped(entries)
    known = KnownRuns()
    await known.learn(pool, tenant, {run: own[0].event.seq for run, own in by_run.items()})
    changes = [change for run, own in by_run.items() for change in known.changes(run, own)]
    return Chunk(
        changes,
        Place(way.upto) if end is None else Place(place.since, way.upto, *end),
        0,
        moment,
        beyond={run: own[-1].event.seq for run, own in by_run.items() if run in way.gaps},
        until=0,
        size=sum(entry.event.size for entry in entries),
    )


def grouped(entries: Iterable[Entry]) -> Mapping[str, list[Entry]]:
    """By run."""
    runs: dict[str, list[Entry]] = {}
    for entry in entries:
        runs.setdefault(entry.run, []).append(entry)
    return runs


def _whole_groups(entries: list[Entry]) -> list[Entry]:
    """The entries but for a report that is cut off at the end."""
    if not entries or entries[-1].event.seq == entries[-1].event.group_seq:
        return entries
    last = entries[-1]
    return [e for e in entries if (e.run, e.event.group_seq) != (last.run, last.event.group_seq)]
