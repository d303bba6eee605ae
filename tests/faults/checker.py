"""What the contract promises of a watch of one run, each by its name, checked against the table.

Pure: takes a watcher's log and the run's history, answers what is wrong.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from tests.faults.history import Stored
from tests.faults.weather import Weather
from vwed_grpc.storage.events import Kind

SPLIT_BYTES = 3 << 20
"""Above it the events of one report come in several messages."""
CLOCKS = 0.05
"""Seconds by which two readings of this machine's clock may differ."""
FRAME_BYTES = 16
"""What an event costs in a message beside itself, at most."""


@dataclass(slots=True)
class Arrival:
    """One message, at the time when it came, in seconds since 1970."""

    at: float
    seqs: list[int]
    digests: list[int]
    size: int
    snapshot: bool = False
    more: bool = False
    bookmark: int = 0


@dataclass(slots=True)
class Stream:
    """One call, from its opening to its end."""

    after_seq: int | None
    opened: float
    """When the server had answered."""
    arrivals: list[Arrival] = field(default_factory=list)
    closed: float = 0.0
    ending: str = ""
    """OK; LEFT, by the watcher; BROKEN, by network or server; else what the service said."""

    def changes(self) -> Iterator[tuple[Arrival, int, int]]:
        """The message, seq and digest of each event that is not a present state."""
        for arrival in self.arrivals:
            if not arrival.snapshot:
                for seq, digest in zip(arrival.seqs, arrival.digests, strict=True):
                    yield arrival, seq, digest


@dataclass(slots=True)
class WatchLog:
    """All that one watcher saw of one run, through all its connections."""

    watcher: str
    run: str
    full: bool
    bookmark: float
    """The interval it asked for, in seconds."""
    brisk: bool = True
    """It reads at once, so what is late is late by the server."""
    streams: list[Stream] = field(default_factory=list)


Violations = Iterator[str]


def ordered(log: WatchLog, _: Sequence[Stored]) -> Violations:
    for stream in log.streams:
        seqs = [seq for arrival in stream.arrivals for seq in arrival.seqs]
        yield from (f"seq {b} after {a}" for a, b in pairwise(seqs) if b <= a)
        for arrival in stream.arrivals:
            if (
                arrival.snapshot
                and arrival.bookmark
                and arrival.bookmark < max(arrival.seqs, default=0)
            ):
                yield f"a snapshot up to {arrival.bookmark} has {arrival.seqs[-1]}"


def unique(log: WatchLog, _: Sequence[Stored]) -> Violations:
    seen: set[int] = set()
    for stream in log.streams:
        for arrival in stream.arrivals:
            for seq in arrival.seqs:
                if seq in seen:
                    yield f"seq {seq} twice"
                seen.add(seq)


def reliable(log: WatchLog, history: Sequence[Stored]) -> Violations:
    """Every event from where the watch began to its end is there, as it is in the table."""
    by_seq = {event.seq: event for event in history}
    began = _began(log)
    got: set[int] = set()
    for stream in log.streams:
        for arrival, seq, digest in stream.changes():
            got.add(seq)
            event = by_seq.get(seq)
            if event is None:
                yield f"seq {seq} is not in the table"
            elif event.digest(full=log.full) != digest:
                yield f"seq {seq} is another in the table"
            elif arrival.at < event.committed - CLOCKS:
                yield f"seq {seq} came {event.committed - arrival.at:.3f} s before its commit"
    last = max(got, default=began)
    if log.streams and log.streams[-1].ending == "OK":
        last = next((e.seq for e in history if e.kind == Kind.FINISHED), last)
    missing = set(range(began + 1, last + 1)) - got
    if missing:
        yield f"missing {sorted(missing)} of {began + 1}..{last}"
    yield from _untrue_states(log, history)


def _began(log: WatchLog) -> int:
    """The seq after which changes are owed."""
    first = log.streams[0]
    if first.after_seq is not None:
        return first.after_seq
    states = [a for stream in log.streams for a in stream.arrivals if a.snapshot]
    if not states:
        return min((seq for s in log.streams for _, seq, _ in s.changes()), default=1) - 1
    return states[-1].bookmark or states[-1].seqs[-1]


def _untrue_states(log: WatchLog, history: Sequence[Stored]) -> Violations:
    """The states of a whole snapshot up to S are each block's, and the run's, last change by S."""
    for stream in log.streams:
        states = [arrival for arrival in stream.arrivals if arrival.snapshot]
        if not states or not states[-1].bookmark:
            continue
        upto = states[-1].bookmark
        last: dict[tuple[str, str, int], Stored] = {}
        later: set[tuple[str, str, int]] = set()
        for event in history:
            key = event.block[:3] if event.block else ("", "", 0)
            if event.kind == Kind.SIGNAL:
                continue
            if event.seq <= upto:
                last[key] = event
            else:
                later.add(key)
        got = {seq for arrival in states for seq in arrival.seqs}
        # A block that changes while it is read drops out: its change is told after the snapshot.
        owed = {event.seq for key, event in last.items() if key not in later or not key[0]}
        extra = got - {event.seq for event in last.values()}
        if extra or owed - got:
            yield f"snapshot up to {upto}: extra {sorted(extra)}, missing {sorted(owed - got)}"


def resumable(log: WatchLog, history: Sequence[Stored]) -> Violations:
    """A stream after a seq begins with the next one, and ends only at the end of the run."""
    final = next((event.seq for event in history if event.kind == Kind.FINISHED), None)
    seen = 0
    for stream in log.streams:
        if stream.after_seq is not None:
            first = next((seq for _, seq, _ in stream.changes()), None)
            if first is not None and first != stream.after_seq + 1:
                yield f"after {stream.after_seq} came {first}"
        for arrival in stream.arrivals:
            seen = max([seen, arrival.bookmark, *arrival.seqs])
        if stream.ending == "OK" and (final is None or max(seen, stream.after_seq or 0) < final):
            yield f"ended at {seen}, the run at {final}"
        if stream.ending not in {"OK", "LEFT", "BROKEN"}:
            yield f"after {stream.after_seq}, {seen} ended with {stream.ending}"


def contiguous(log: WatchLog, history: Sequence[Stored]) -> Violations:
    """A report or transition comes in one message, or over 3 MiB in several that say so."""
    by_seq = {event.seq: event for event in history}
    sizes: dict[int, int] = {}
    for event in history:
        size = event.size if log.full else 0
        sizes[event.group_seq] = sizes.get(event.group_seq, 0) + size + FRAME_BYTES
    for stream in log.streams:
        for arrival in stream.arrivals:
            last = by_seq.get(arrival.seqs[-1]) if arrival.seqs else None
            if arrival.snapshot or last is None:
                continue
            cut = last.seq != last.group_seq
            if cut != arrival.more:
                yield f"a message ends at {last.seq} of {last.group_seq}, more={arrival.more}"
            if cut and sizes[last.group_seq] <= SPLIT_BYTES:
                yield f"the report up to {last.group_seq} is split at {last.seq}"


def bookmarked(log: WatchLog, weather: Weather) -> Violations:
    """An idle stream says where it is, often enough, and never further than it is."""
    seen = 0
    for stream in log.streams:
        seen = max(seen, stream.after_seq or 0)
        at = stream.opened
        for arrival in stream.arrivals:
            seen = max([seen, *arrival.seqs])
            if arrival.bookmark > seen and not arrival.snapshot:
                yield f"bookmark {arrival.bookmark} when {seen} was the last"
            seen = max(seen, arrival.bookmark)
            yield from _silence(log, at, arrival.at, weather)
            at = arrival.at
        yield from _silence(log, at, stream.closed, weather)


def _silence(log: WatchLog, since: float, until: float, weather: Weather) -> Violations:
    if log.brisk and until - since > log.bookmark + 1 + weather.noise(since, until):
        yield f"silent for {until - since:.2f} s"


def bounded(log: WatchLog, _: Sequence[Stored]) -> Violations:
    """However far behind, what is under way to a reader is one message of 3 MiB, or one event."""
    for stream in log.streams:
        for arrival in stream.arrivals:
            if arrival.size > SPLIT_BYTES + 1024 and len(arrival.seqs) > 1:
                yield f"a message of {arrival.size} bytes has {len(arrival.seqs)} events"
        if stream.ending.startswith("RESOURCE_EXHAUSTED"):
            yield "was thrown out"


def delays(log: WatchLog, history: Sequence[Stored]) -> Iterator[tuple[Stored, float, bool]]:
    """How long each event took that was committed while the watcher was there and caught up.

    False: it had not come when the stream ended.
    """
    for stream in log.streams if log.brisk else ():
        states = [arrival for arrival in stream.arrivals if arrival.snapshot]
        began = stream.after_seq if stream.after_seq is not None else _upto(states)
        if began is None:
            continue
        at = {seq: arrival.at for arrival, seq, _ in stream.changes()}
        since = max(
            [stream.opened]
            + [arrival.at for arrival in states]
            + [at[e.seq] for e in history if e.committed <= stream.opened and e.seq in at]
        )
        for event in history:
            if since < event.committed < stream.closed and event.seq > began:
                arrived = at.get(event.seq)
                if arrived is not None:
                    yield event, arrived - event.committed, True
                elif stream.ending != "OK":
                    yield event, stream.closed - event.committed, False


def _upto(states: Sequence[Arrival]) -> int | None:
    """How far a snapshot goes; None if it broke off."""
    return (states[-1].bookmark or None) if states else None


def prompt(log: WatchLog, history: Sequence[Stored], weather: Weather) -> Violations:
    for event, seconds, arrived in delays(log, history):
        limit = weather.allowed(event.committed, event.committed + seconds)
        if seconds > limit:
            verb = "took" if arrived else "had not come after"
            yield f"seq {event.seq} {verb} {seconds:.2f} s, of {limit:.2f}"


PROPERTIES: dict[str, Callable[[WatchLog, Sequence[Stored]], Violations]] = {
    property_.__name__: property_
    for property_ in (ordered, unique, reliable, resumable, contiguous, bounded)
}


def check(log: WatchLog, history: Sequence[Stored], weather: Weather) -> dict[str, list[str]]:
    """What is wrong, by the name of the property that is broken."""
    found = {name: list(property_(log, history)) for name, property_ in PROPERTIES.items()}
    found["bookmarked"] = list(bookmarked(log, weather))
    found["prompt"] = list(prompt(log, history, weather))
    where = f"{log.watcher} on {log.run}"
    return {name: [f"{where}: {what}" for what in bad] for name, bad in found.items() if bad}
