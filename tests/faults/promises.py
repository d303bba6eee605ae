"""What clients were told, looked up in the table: nothing acknowledged is lost or comes twice."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from tests.faults.fleet import Told
from tests.faults.history import History, Stored
from vwed_grpc.storage.events import Kind

Violations = Iterator[str]
OWN = (Kind.RUN, Kind.FINISHED)


def reports_kept(told: Told, history: History) -> Violations:
    """Each acknowledged block stands at its seq, as it was reported."""
    for report in told.blocks:
        event = _at(history, report.run, report.seq)
        if event is None or event.block != report.block:
            yield f"{report.run}: {report.block} is not at seq {report.seq}"


def transitions_kept(told: Told, history: History) -> Violations:
    """Each answered run is as its last own event up to the answer's seq says."""
    for answer in told.runs:
        events = history.get(answer.run, [])[: answer.seq]
        last = next((e for e in reversed(events) if e.kind in OWN), None)
        if last is None or (last.status, last.etag) != (answer.status, answer.etag):
            yield f"{answer.run}: status {answer.status} at seq {answer.seq} was not kept"


def reported_once(_: Told, history: History) -> Violations:
    """No report is written twice, however often it was sent. Each has a message of its own.

    Executors say nothing in theirs: `executor_checker` looks after them.
    """
    for run, events in history.items():
        ends = {event.seq for event in events if event.kind == Kind.FINISHED}
        written = Counter(
            event.block[4]
            for event in events
            if event.block and event.block[4] and event.group_seq not in ends
        )
        yield from (f"{run}: report {m} {n} times" for m, n in written.items() if n > 1)


def signaled_once(told: Told, history: History) -> Violations:
    """A repeated request_id changes nothing."""
    found = Counter(
        (run, event.signal) for run, events in history.items() for event in events if event.signal
    )
    yield from (f"{name} came {n} times" for name, n in found.items() if n > 1)
    yield from (f"{name} was lost" for name in told.signals if not found[name])


def gapless(_: Told, history: History) -> Violations:
    for run, events in history.items():
        if [event.seq for event in events] != list(range(1, len(events) + 1)):
            yield f"{run}: seqs have gaps"
        yield from (f"{run}: {problem}" for problem in _torn(events))


def _torn(events: Sequence[Stored]) -> Violations:
    """Groups that overlap, or end elsewhere than they say."""
    end = 0
    for event in events:
        if event.seq > end:
            end = event.group_seq
        if event.group_seq != end:
            yield f"seq {event.seq} is of the group up to {event.group_seq}, not {end}"


def _at(history: History, run: str, seq: int) -> Stored | None:
    events = history.get(run, [])
    return events[seq - 1] if 0 < seq <= len(events) else None


PROMISES: dict[str, Callable[[Told, History], Violations]] = {
    promise.__name__: promise
    for promise in (reports_kept, transitions_kept, reported_once, signaled_once, gapless)
}


def check(told: Told, history: History) -> dict[str, list[str]]:
    """What is wrong, by the name of the promise that is broken."""
    found = {name: list(promise(told, history)) for name, promise in PROMISES.items()}
    return {name: bad for name, bad in found.items() if bad}
