"""What the contract promises of reads, checked against what clients did and when. Pure.

Each resource is a register. Its states are ordered: version v has the order 2v, the absence after
it 2v + 1, so a read is stale if its order is below that of a write that had been acknowledged.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate

LATE_COMMIT = 6.0
"""Seconds after a call failed in which its commit may still take place."""

Process = tuple[str, int]
"""A replica, and which of its lives."""


@dataclass(slots=True)
class Write:
    register: str
    process: Process
    began: float
    ended: float
    """When the client knew, in seconds since 1970."""
    order: int
    """0: unknown."""
    token: str
    acknowledged: bool


@dataclass(slots=True)
class Read:
    register: str
    process: Process
    began: float
    ended: float
    order: int | None
    """None: absent."""
    token: str
    expires: float | None
    strong: bool


@dataclass
class Journal:
    """What all clients did."""

    bounds: dict[str, float] = field(default_factory=dict)
    """Register -> seconds that a stale read may last if an invalidation was lost."""
    writes: list[Write] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    ends: dict[str, list[tuple[float, int]]] = field(default_factory=dict)
    """Register -> since when it may be absent, and the order of that absence."""


LostTouch = Callable[[Process, float, float], bool]
"""Whether a process was out of Redis's reach at some time between two."""


@dataclass
class Findings:
    violations: list[str] = field(default_factory=list)
    excused: int = 0
    """Stale reads that the contract allows."""
    unanswered: int = 0
    """Writes that took place though their caller was not told."""


def check(journal: Journal, lost_touch: LostTouch) -> Findings:
    findings = Findings()
    reads, writes = _by_register(journal.reads), _by_register(journal.writes)
    for register, bound in journal.bounds.items():
        told = [
            (read.expires, read.order + 1)
            for read in reads[register]
            if read.expires is not None and read.order is not None
        ]
        ends = sorted([*journal.ends[register], *told])
        known = _Register(bound, writes[register], reads[register], ends)
        findings.unanswered += len(known.unanswered)
        for read in reads[register]:
            known.judge(read, lost_touch, findings)
    return findings


def _by_register(items: Iterable[Write | Read]) -> dict[str, list]:  # type: ignore[type-arg]  # of either
    grouped = defaultdict(list)
    for item in items:
        grouped[item.register].append(item)
    return grouped


class _Register:
    def __init__(
        self, bound: float, writes: list[Write], reads: list[Read], ends: list[tuple[float, int]]
    ) -> None:
        self.bound = bound
        self.acknowledged = sorted((w for w in writes if w.acknowledged), key=lambda w: w.ended)
        self._acknowledged_at = [w.ended for w in self.acknowledged]
        self._floor = list(accumulate((w.order for w in self.acknowledged), max, initial=0))
        self._ends_at = [since for since, _ in ends]
        self._absence = list(accumulate((order for _, order in ends), max, initial=0))
        self.unanswered = list(_unanswered(writes, reads))

    def judge(self, read: Read, lost_touch: LostTouch, findings: Findings) -> None:
        if read.expires is not None and read.began >= read.expires:
            late = read.began - read.expires
            findings.violations.append(f"{read.register}: read {late:.3f} s after its end: {read}")
        order = read.order
        if order is None:
            order = self._absence[bisect_left(self._ends_at, read.ended)]
        before = bisect_left(self._acknowledged_at, read.began)
        if order < self._floor[before]:
            missed = [w for w in self.acknowledged[:before] if w.order > order]
            inexcusable = [w for w in missed if not self._excused(read, w, lost_touch)]
            if inexcusable:
                late = read.began - inexcusable[0].ended
                findings.violations.append(
                    f"{read.register}: {late:.3f} s after {inexcusable[0]} this: {read}"
                )
            else:
                findings.excused += 1
        for write in self.unanswered:
            if order < write.order and read.began > write.ended + LATE_COMMIT + self.bound:
                findings.violations.append(f"{read.register}: never saw {write}: {read}")

    def _excused(self, read: Read, missed: Write, lost_touch: LostTouch) -> bool:
        return (
            not read.strong
            and read.process != missed.process
            and read.began - missed.ended <= self.bound
            and lost_touch(missed.process, missed.began, missed.ended)
        )


def _unanswered(writes: list[Write], reads: list[Read]) -> Iterator[Write]:
    """Writes that are known to have taken place, by what was read, though they failed."""
    seen = {read.token: read.order for read in reads if read.token and read.order is not None}
    for write in writes:
        if not write.acknowledged and write.token in seen:
            write.order = seen[write.token]
            yield write
