"""What our executor promises, each by its name: journals of its code against the service's history.

Pure: takes a run's events, what each executor's code did with it, and when processes were frozen.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from tests.faults.executor_history import Event, Histories
from tests.faults.journal import Begun, Drive, Ended, Key

CLOCKS = 0.005
"""Seconds by which PostgreSQL's clock and ours may differ, on one machine."""
AT_THE_EDGE = 0.05
"""Seconds, more than code takes from the look at its lease to the journal."""
FINAL = {"SUCCEEDED", "FAILED", "CANCELED"}
DONE = {"SUCCEEDED", "SKIPPED"}


@dataclass(frozen=True, slots=True)
class Freeze:
    """A process stood still, by the journals' clock."""

    life: str
    began: float
    """Not before this; by `stood` it did."""
    stood: float
    until: float

    def hit(self, begun: Begun) -> bool:
        """Whether it came between the executor's look at the lease and the code's first line."""
        asked = begun.asked
        return asked <= self.stood and self.began <= asked + AT_THE_EDGE and begun.at >= self.until


@dataclass
class Story:
    """All that became of one run."""

    run: str
    events: Sequence[Event]
    drives: Sequence[Drive]
    """By the epoch with which they began."""
    freezes: Sequence[Freeze] = ()
    owners: dict[int, Drive | None] = field(init=False)
    """Epoch -> whose code it was; None: nobody's, for it was killed before, say."""

    def __post_init__(self) -> None:
        self.owners = {}
        for event in self.events:
            if event.epoch not in self.owners:
                self.owners[event.epoch] = self._owner(event)

    def _owner(self, event: Event) -> Drive | None:
        """Who began last by then; the same executor's later epochs are of runs taken back.

        Unless its process had ended, and the next one releases the run before any code begins; or
        another executor had the run in between, so that it may only be released.
        """
        before = [drive for drive in self.drives if drive.epoch <= event.epoch]
        last = max(before, key=lambda drive: drive.epoch, default=None)
        if last is None or event.at > last.gone + CLOCKS:
            return None
        since = {e.executor for e in self.events if last.epoch <= e.epoch <= event.epoch}
        return last if since == {last.executor} else None

    def grants(self) -> Iterator[Event]:
        """The first event of each epoch that an executor has."""
        epoch = 0
        for event in self.events:
            if event.epoch > epoch:
                epoch = event.epoch
                yield event

    def reported(self, drive: Drive) -> Iterator[Event]:
        """What it told of its code's blocks. It may also end those that were left open before."""
        left: set[Key] = set()
        for event in self.events:
            if event.block is None or event.closing:
                continue
            if event.block_status == "PENDING":
                continue  # a retry's copy, which nobody has begun
            if self.owners[event.epoch] is not drive:
                left.discard(event.block) if event.block_end else left.add(event.block)
            elif event.block not in left or event.block_status != "CANCELED":
                yield event

    def begun(self) -> Iterator[tuple[Drive, Begun]]:
        """All blocks that began, but for those whose executor was frozen at that very moment."""
        for drive in self.drives:
            freezes = [freeze for freeze in self.freezes if freeze.life == drive.life]
            for begun in drive.begun:
                if not any(freeze.hit(begun) for freeze in freezes):
                    yield drive, begun

    def handed_in(self, drive: Drive) -> Event | None:
        """The event by which this very executor finished the run, or released it."""
        for event in self.events:
            if (
                event.status in FINAL | {"INTERRUPTED"}
                and event.actor == drive.executor
                and self.owners[event.epoch] is drive
            ):
                return event
        return None


Violations = Iterator[str]


def ends_as_its_code_did(story: Story) -> Violations:
    """What is told of a block's end is what its code did; so it is with the run's."""
    for drive in story.drives:
        ends = {end.key: end for end in drive.ended}
        for event in story.reported(drive):
            assert event.block is not None
            if event.block_end and _differs(event, ends.get(event.block)):
                yield f"{event.block} is told as {_told(event)}, not {ends.get(event.block)}"
        final = story.handed_in(drive)
        if final is None or final.status == "INTERRUPTED":
            continue
        if drive.over is None or (drive.over.status, drive.over.mark) != (final.status, final.mark):
            yield f"the run is told as {final.status} {final.mark}, not {drive.over}"
    for event in story.events:
        if event.block_end and not event.closing and event.epoch and not story.owners[event.epoch]:
            yield f"{event.block} is told as {_told(event)}, and no code had the run"


def _differs(event: Event, end: Ended | None) -> bool:
    return end is None or (end.status, end.mark) != (event.block_status, event.mark)


def _told(event: Event) -> str:
    return f"{event.block_status} {event.mark}"


def reported_once(story: Story) -> Violations:
    """A block begins once and ends once for each attempt, whatever was sent again."""
    ends = Counter(event.block for event in story.events if event.block_end)
    yield from (f"{block} ended {n} times" for block, n in ends.items() if n > 1)
    marks = Counter(event.mark for event in story.events if event.block_status == "SUCCEEDED")
    yield from (f"{mark} was told {n} times" for mark, n in marks.items() if mark and n > 1)
    asked = Counter((drive.epoch, begun.key) for drive in story.drives for begun in drive.begun)
    yield from (f"{key} began {n} times in one drive" for (_, key), n in asked.items() if n > 1)


def nothing_lost(story: Story) -> Violations:
    """Each report has all that was done before what it has; and the last one has the rest.

    That is, if the run was finished or released: else nobody wants to know the rest.
    """
    for drive in story.drives:
        done = [end.key for end in drive.ended]
        reports: dict[int, set[Key | None]] = {}
        for event in story.reported(drive):
            if event.block_end:
                reports.setdefault(event.report, set()).add(event.block)
        told: set[Key | None] = set()
        for report, ends in reports.items():
            told |= ends
            if told != {*done[: len(told)]}:
                yield f"{drive.executor} did {done}, and up to {report} told {told}"
        if story.handed_in(drive):
            known = {event.block for event in story.reported(drive)}
            if missing := [key for key in done if key not in told]:
                yield f"{drive.executor} handed the run in without {missing}"
            if missing := [begun.key for begun in drive.begun if begun.key not in known]:
                yield f"{drive.executor} never told of {missing}"


def starts_under_a_lease(story: Story) -> Violations:
    """No block starts before its epoch was granted, nor once the lease is lost."""
    granted: dict[int, float] = {}
    lost: dict[int, float] = {}
    for before, event in pairwise(story.events):
        if event.epoch > before.epoch:
            granted[event.epoch] = event.at
            lost.setdefault(before.epoch, event.at)
        if event.status == "INTERRUPTED" or (event.status == "CANCELED" and not event.actor):
            lost.setdefault(event.epoch, event.at)
    for drive, begun in story.begun():
        where = f"{begun.key} of {drive.executor} began"
        if begun.epoch not in granted:
            yield f"{where} under epoch {begun.epoch}, which there never was"
        elif begun.wall < granted[begun.epoch] - CLOCKS:
            yield f"{where} {granted[begun.epoch] - begun.wall:.3f} s before epoch {begun.epoch}"
        elif (late := begun.wall - lost.get(begun.epoch, begun.wall)) > CLOCKS:
            yield f"{where} {late:.3f} s after the lease of epoch {begun.epoch} was lost"


def one_driver(story: Story) -> Violations:
    """An epoch has one driver, the one it was granted to; what drivers start never interleaves."""
    granted = {event.epoch: event.executor for event in story.grants()}
    of_epoch: dict[int, Drive] = {}
    for drive in story.drives:
        for epoch in range(min(drive.epochs), max(drive.epochs) + 1):
            if of_epoch.setdefault(epoch, drive) is not drive:
                yield f"epoch {epoch} drove {of_epoch[epoch].executor} and {drive.executor}"
            if granted.get(epoch) != drive.executor:
                yield f"epoch {epoch} is of {granted.get(epoch)}, and {drive.executor} drove"
    starts = sorted(story.begun(), key=lambda one: one[1].at)
    for (_, a), (_, b) in pairwise(starts):
        if b.epoch < a.epoch:
            yield f"{b.key} began under epoch {b.epoch}, after {a.key} under {a.epoch}"


def not_done_again(story: Story) -> Violations:
    """Who takes up a run does not do again what was done: the latest attempt is what counts."""
    for drive in story.drives:
        latest: dict[tuple[str, str], Event] = {}
        for event in story.events:
            if event.block and event.epoch < drive.epoch:
                before = latest.setdefault(event.block[:2], event).block
                if before and event.block[2] >= before[2]:
                    latest[event.block[:2]] = event
        for begun in drive.begun:
            left = latest.get(begun.key[:2])
            if left and left.block_status in DONE:
                yield f"{drive.executor} began {begun.key}, which had been done"


def stands_while_paused(story: Story) -> Violations:
    """Whoever says PAUSED starts nothing until somebody lets it go on."""
    own = [event for event in story.events if event.status]
    for paused, following in pairwise(own):
        if paused.status == "PAUSED":
            for drive, begun in story.begun():
                if paused.at + CLOCKS < begun.wall < following.at - CLOCKS:
                    yield f"{begun.key} of {drive.executor} began while the run was paused"


def signals_heard_in_order(story: Story) -> Violations:
    """Each once, in the order in which they were sent, and none from before the run was taken.

    It may have been taken back before its code began, even.
    """
    sent = {event.signal: event for event in story.events if event.signal}
    granted = {event.epoch: event.executor for event in story.grants()}
    for drive in story.drives:
        taken = drive.epoch
        while granted.get(taken - 1) == drive.executor:
            taken -= 1
        if unknown := [name for name in drive.heard if name not in sent]:
            yield f"{drive.executor} heard {unknown}, which nobody sent"
            continue
        seqs = [sent[name].seq for name in drive.heard]
        if any(b <= a for a, b in pairwise(seqs)):
            yield f"{drive.executor} heard {drive.heard}, in this order"
        if any(sent[name].epoch < taken for name in drive.heard):
            yield f"{drive.executor} heard {drive.heard}, some of them from before"


def nothing_stuck(story: Story) -> Violations:
    """Every run has come to its end."""
    last = next((event.status for event in reversed(story.events) if event.status), "nothing")
    if last not in FINAL:
        yield f"is {last} after all"


PROMISES: Mapping[str, Callable[[Story], Violations]] = {
    promise.__name__: promise
    for promise in (
        ends_as_its_code_did,
        reported_once,
        nothing_lost,
        starts_under_a_lease,
        one_driver,
        not_done_again,
        stands_while_paused,
        signals_heard_in_order,
        nothing_stuck,
    )
}


def stories(
    histories: Histories, drives: Iterable[Drive], freezes: Sequence[Freeze]
) -> list[Story]:
    of_run: dict[str, list[Drive]] = {}
    for drive in sorted(drives, key=lambda drive: drive.epoch):
        of_run.setdefault(drive.run, []).append(drive)
    return [Story(run, told, of_run.get(run, []), freezes) for run, told in histories.items()]


def check(told: Iterable[Story]) -> dict[str, list[str]]:
    """What is wrong, by the name of the promise that is broken."""
    found: dict[str, list[str]] = {}
    for story in told:
        for name, promise in PROMISES.items():
            if bad := [f"{story.run}: {what}" for what in promise(story)]:
                found.setdefault(f"executor {name}", []).extend(bad)
    return found


def counts(told: Sequence[Story]) -> Counter[str]:
    """What was exercised."""
    found: Counter[str] = Counter()
    for story in told:
        for drive in story.drives:
            found["drives"] += 1
            found["blocks begun"] += len(drive.begun)
            found["blocks ended"] += len(drive.ended)
            found["signals heard"] += len(drive.heard)
            found["taken back"] += len(drive.epochs) - 1
            found["killed"] += drive.over is None
            found["taken up again"] += drive.epoch > 1
            if drive.over and drive.over.reason:
                found[f"stopped by {drive.over.reason}"] += 1
        found["reports"] += sum(event.block is not None for event in story.events)
        found["paused"] += sum(event.status == "PAUSED" for event in story.events)
    return found
