"""Reading a tenant's log: a chunk from a position on, with what its runs were before."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from vwed_grpc.storage import feed
from vwed_grpc.storage.events import Event, Kind
from vwed_grpc.storage.feed import Entry, Position
from vwed_grpc.storage.pool import ReadingPool
from vwed_grpc.watching.chunk import Change, Chunk, Recent, State, still_recent

MAX_EVENTS = 1000
MAX_BYTES = 256 << 10
LARGER = 1, 4, 16, 64
"""So many times MAX_BYTES are read if it takes that to read a report or transition whole."""
MOST_KNOWN = 4096
"""Runs of which a reader knows what they are; it asks about others that change."""


@dataclass(frozen=True, slots=True)
class _Known:
    seq: int
    state: State | None


class LogReader:
    """One reader of a tenant's log: each chunk begins where the one before it ended."""

    def __init__(self, pool: ReadingPool, tenant: str, at: Position) -> None:
        self.at = at
        self._pool = pool
        self._tenant = tenant
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._recent: Recent = {}

    async def next(self) -> tuple[Chunk, bool]:
        """The next chunk, which may be empty, and whether it goes up to the horizon."""
        reading = await self._read()
        entries = reading.entries
        end = entries[-1].position if entries else self.at
        if reading.complete:
            end = max(self.at, Position(reading.horizon.readable))
        runs = _by_run(entry for entry in entries if not self._was_told(entry))
        await self._overtaken(runs, end)
        before = await self._states_before(runs)
        changes = [
            change for run, found in runs.items() for change in self._changes(run, found, before)
        ]
        told = {run: (max(found), reading.horizon.begun) for run, found in runs.items()}
        self._recent = still_recent({**self._recent, **told}, end)
        while len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)
        size = sum(_size(change.event) for change in changes)
        chunk = Chunk(self, self.at, end, changes, self._recent, reading.horizon, size)
        self.at = end
        return chunk, reading.complete

    async def _read(self) -> feed.Reading:
        """Whole reports and transitions, unless one of them is too large."""
        for times in LARGER:
            found = await feed.read(
                self._pool, self._tenant, self.at, limit=MAX_EVENTS, max_bytes=times * MAX_BYTES
            )
            if found.complete:
                return found
            if whole := _whole_groups(found.entries):
                return feed.Reading(found.horizon, whole, complete=False, too_large=False)
            if not found.too_large:
                break
        return found

    def _was_told(self, entry: Entry) -> bool:
        """Before its turn, with an event that had overtaken it."""
        seq, _ = self._recent.get(entry.position.run, (0, 0))
        return entry.event.seq <= seq

    async def _overtaken(self, runs: Mapping[str, dict[int, Entry]], end: Position) -> None:
        """Adds what has its turn only after `end`."""
        edges = [
            (run, seq)
            for run, found in runs.items()
            for seq in found
            if seq > 1 and seq - 1 not in found and not self._knows(run, seq - 1)
        ]
        if edges:
            for entry in await feed.overtaken(self._pool, self._tenant, end, edges):
                runs[entry.position.run][entry.event.seq] = entry

    def _knows(self, run: str, seq: int) -> bool:
        known = self._known.get(run)
        return known is not None and known.seq >= seq

    async def _states_before(self, runs: Mapping[str, dict[int, Entry]]) -> dict[str, bytes]:
        firsts = {run: min(found) for run, found in runs.items() if run not in self._known}
        unknown = {run: seq for run, seq in firsts.items() if seq > 1}
        return await feed.states_before(self._pool, self._tenant, unknown) if unknown else {}

    def _changes(
        self, run: str, found: Mapping[int, Entry], before: Mapping[str, bytes]
    ) -> Iterable[Change]:
        """In order of seq, each with the run as it was before and after."""
        known = self._known.pop(run, None)
        if known is not None:
            state = known.state
        else:
            state = State(run, before.get(run)) if min(found) > 1 else None
        for seq in sorted(found):
            entry = found[seq]
            after = _after(state, run, entry)
            yield Change(entry.position, entry.event, state, after)
            state = after
        if state is not None:  # else the run is gone
            self._known[run] = _Known(max(found), state)


def _after(state: State | None, run: str, entry: Entry) -> State | None:
    match entry.event.kind:
        case Kind.RUN | Kind.FINISHED:
            return State(run, entry.event.event)
        case Kind.DELETED:
            return None
        case _ if state is not None and entry.robot_id is not None:
            return state.with_robot(entry.robot_id)
        case _:
            return state


def _by_run(entries: Iterable[Entry]) -> dict[str, dict[int, Entry]]:
    runs: dict[str, dict[int, Entry]] = {}
    for entry in entries:
        runs.setdefault(entry.position.run, {})[entry.event.seq] = entry
    return runs


def _whole_groups(entries: list[Entry]) -> list[Entry]:
    """The entries but for a report that is cut off at the end."""
    last = entries[-1]
    if last.event.seq == last.event.group_seq:
        return entries
    return [
        e
        for e in entries
        if (e.position.run, e.event.group_seq) != (last.position.run, last.event.group_seq)
    ]


def _size(event: Event) -> int:
    return len(event.event) + len(event.payload or b"") + 200
