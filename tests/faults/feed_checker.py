"""What the contract promises of a watch of many runs, checked against the table. Pure, too."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tests.faults.history import History, Stored
from tests.faults.weather import Weather
from vwed_grpc.storage.events import Kind

PROGRESS_SECONDS = 0.9
"""Progress of a run comes at most once a second, by the server's clock."""


@dataclass(slots=True)
class Seen:
    """One event of a message, or a present state."""

    run: str
    seq: int
    digest: int
    at: float
    snapshot: bool
    upto: int = 0
    """Of a run's present state: its blocks' states are as old as this seq. What changes while it is
    read may drop out, for its change is told."""


@dataclass(slots=True)
class FeedStream:
    resumed: bool
    opened: float
    present: float = 0.0
    """When the last message of present states came."""
    seen: list[Seen] = field(default_factory=list)
    closed: float = 0.0
    ending: str = ""


@dataclass(slots=True)
class FeedLog:
    watcher: str
    blocks: bool
    full: bool
    streams: list[FeedStream] = field(default_factory=list)

    def everything(self) -> Iterator[Seen]:
        for stream in self.streams:
            yield from stream.seen


Violations = Iterator[str]


def whole(log: FeedLog, history: History) -> Violations:
    """At least all changes since the snapshot, of every run, as they are in the table."""
    upto: dict[str, int] = {}
    got: dict[str, set[int]] = {}
    for seen in log.everything():
        if not seen.snapshot:
            got.setdefault(seen.run, set()).add(seen.seq)
        elif seen.upto:
            upto[seen.run] = max(seen.upto, upto.get(seen.run, 0))
    # Who was cut before the first message has no token to resume with, and begins anew.
    opened = max(stream.opened for stream in log.streams if not stream.resumed)
    present = max(stream.present for stream in log.streams)
    for run, events in history.items():
        # A run that ended before the open ones were told is owed no more than what came later.
        ended = any(e.kind == Kind.FINISHED and e.committed < present for e in events)
        began = present if ended else opened
        owed = {
            event.seq
            for event in events
            if (event.seq > upto[run] if run in upto else event.committed > began)
            and (log.blocks or event.kind != Kind.BLOCK)
        }
        if missing := owed - got.get(run, set()):
            yield f"{run}: missing {sorted(missing)}"


def true(log: FeedLog, history: History) -> Violations:
    """What was told is in the table; what repeats is the same again."""
    by_seq = {run: {e.seq: e for e in events} for run, events in history.items()}
    for seen in log.everything():
        event = by_seq.get(seen.run, {}).get(seen.seq)
        if event is None:
            yield f"{seen.run}: seq {seen.seq} is not in the table"
            continue
        told = not seen.snapshot and (log.blocks or event.kind != Kind.BLOCK)
        if told and event.digest(full=log.full) != seen.digest:
            yield f"{seen.run}: seq {seen.seq} is another in the table"


def ordered(log: FeedLog, _: History) -> Violations:
    """Within a run by seq; what comes out of order is a repeat, and only after a resumption."""
    upto: dict[str, int] = {}
    got: set[tuple[str, int]] = set()
    for stream in log.streams:
        here: dict[str, int] = {}
        for seen in stream.seen:
            name = seen.run, seen.seq
            if seen.snapshot:
                upto[seen.run] = max(seen.seq, upto.get(seen.run, 0))
                continue
            if seen.seq <= here.get(seen.run, 0):
                yield f"{seen.run}: seq {seen.seq} after {here[seen.run]} on one stream"
            here[seen.run] = seen.seq
            if seen.seq <= upto.get(seen.run, 0) and name not in got and not stream.resumed:
                yield f"{seen.run}: seq {seen.seq} was passed over"
            got.add(name)
            upto[seen.run] = max(seen.seq, upto.get(seen.run, 0))


def seldom(log: FeedLog, history: History) -> Violations:
    """Without blocks, progress is told at most once a second for each run.

    Messages that were held up on their way come together. But each was told after its report was
    committed and before it came, so there were seconds enough in between, or it was told too often.
    """
    committed = {
        (run, e.seq): e.committed
        for run, events in history.items()
        for e in events
        if e.kind == Kind.BLOCK
    }
    for stream in log.streams if not log.blocks else ():
        told: dict[str, list[Seen]] = {}
        for seen in stream.seen:
            if not seen.snapshot and (seen.run, seen.seq) in committed:
                told.setdefault(seen.run, []).append(seen)
        for run, states in told.items():
            seconds = states[-1].at - committed[run, states[0].seq]
            if len(states) > 1 + seconds / PROGRESS_SECONDS:
                yield f"{run}: {len(states)} times in {seconds:.2f} s"


def delays(log: FeedLog, history: History) -> Iterator[tuple[Stored, float]]:
    """Of events that were committed while the stream was there and caught up."""
    owed = {
        (run, event.seq): event
        for run, events in history.items()
        for event in events
        if log.blocks or event.kind != Kind.BLOCK
    }
    for stream in log.streams:
        at = {(s.run, s.seq): s.at for s in stream.seen if not s.snapshot}
        arrived = [(owed[name], t) for name, t in at.items() if name in owed]
        since = max(
            [stream.opened]
            + [s.at for s in stream.seen if s.snapshot]
            + [t for event, t in arrived if event.committed <= stream.opened]
        )
        for event, t in arrived:
            if event.committed > since:
                yield event, t - event.committed


def prompt(log: FeedLog, history: History, weather: Weather) -> Violations:
    for event, seconds in delays(log, history):
        if seconds > (limit := weather.allowed(event.committed, event.committed + seconds)):
            yield f"seq {event.seq} took {seconds:.2f} s, of {limit:.2f}"


def resumable(log: FeedLog, _: History) -> Violations:
    for stream in log.streams:
        if stream.ending not in {"LEFT", "BROKEN"}:
            yield f"ended with {stream.ending}"


PROPERTIES: Mapping[str, Callable[[FeedLog, History], Violations]] = {
    property_.__name__: property_ for property_ in (whole, true, ordered, seldom, resumable)
}


def check(log: FeedLog, history: History, weather: Weather) -> dict[str, list[str]]:
    """What is wrong, by the name of the property that is broken."""
    found = {name: list(property_(log, history)) for name, property_ in PROPERTIES.items()}
    found["prompt"] = list(prompt(log, history, weather))
    return {
        f"feed {name}": [f"{log.watcher}: {what}" for what in bad]
        for name, bad in found.items()
        if bad
    }


def total(logs: Sequence[FeedLog]) -> int:
    return sum(len(stream.seen) for log in logs for stream in log.streams)
