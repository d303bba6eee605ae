"""What a torture came to, for people."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.faults import checker, executor_checker, feed_checker
from tests.faults.checker import WatchLog
from tests.faults.executor_checker import Story
from tests.faults.feed_checker import FeedLog
from tests.faults.fleet import Told
from tests.faults.history import History

SHOWN = 8
"""Violations of one kind that are shown."""


@dataclass
class Verdict:
    table: History
    watches: Sequence[WatchLog]
    feeds: Sequence[FeedLog]
    seed: int = 0
    done: Counter[str] = field(default_factory=Counter)
    told: Told = field(default_factory=Told)
    stories: Sequence[Story] = ()
    """Of runs that executors drove."""
    ended_within: float = 0.0
    memory: int = 0
    seconds: list[float] = field(default_factory=list)
    """For setting up, for playing, for judging."""
    violations: dict[str, list[str]] = field(default_factory=dict)

    def find(self, violations: Mapping[str, list[str]]) -> None:
        for name, found in violations.items():
            self.violations.setdefault(name, []).extend(found)

    @property
    def events(self) -> int:
        return sum(map(len, self.table.values()))

    @property
    def driven(self) -> Counter[str]:
        return executor_checker.counts(self.stories)

    @property
    def resumes(self) -> int:
        of_feeds = sum(stream.resumed for log in self.feeds for stream in log.streams)
        return of_feeds + sum(max(len(log.streams) - 1, 0) for log in self.watches)

    def __str__(self) -> str:
        seen = sum(
            len(arrival.seqs)
            for log in self.watches
            for stream in log.streams
            for arrival in stream.arrivals
        )
        split = sum(
            arrival.more
            for log in self.watches
            for stream in log.streams
            for arrival in stream.arrivals
        )
        told = self.told
        lines = [
            f"seed {self.seed}; seconds to set up, play, judge: {[*map(round, self.seconds)]}",
            f"{self.events:,} events of {len(self.table):,} runs",
            f"one run watched {len(self.watches)} times: {seen:,} events, {split} messages split",
            f"{len(self.feeds)} watches of many: {feed_checker.total(self.feeds):,} events",
            f"{self.resumes} resumes",
            f"acknowledged: {len(told.blocks):,} blocks, {len(told.runs):,} transitions",
            f"answers lost, and asked again: {told.lost_answers}",
            f"{len(self.stories)} runs by executors: {dict(self.driven.most_common())}",
            f"all of them at their end after {self.ended_within:.1f} s in peace",
            f"verbs: {dict(told.verbs.most_common())}",
            f"refusals: {dict(told.refusals.most_common(12))}",
            f"faults: {dict(self.done.most_common())}",
            f"from commit to arrival: {self._delays()}",
            f"memory of a replica at the end: {self.memory / 2**20:.0f} MiB",
            f"verdict: {'RED' if self.violations else 'GREEN'}",
        ]
        for name, found in self.violations.items():
            lines.append(f"  {name}: {len(found)}")
            lines += [f"    {violation[-2000:]}" for violation in found[:SHOWN]]
        return "\n".join(["", *lines])

    def _delays(self) -> str:
        of_watches = sorted(
            seconds
            for log in self.watches
            for _, seconds, arrived in checker.delays(log, self.table.get(log.run, []))
            if arrived
        )
        of_feeds = sorted(s for log in self.feeds for _, s in feed_checker.delays(log, self.table))
        return "; ".join(
            f"{name} {len(found):,} events, p50 {found[len(found) // 2] * 1e3:.0f} ms,"
            f" p99 {found[len(found) * 99 // 100] * 1e3:.0f} ms, max {found[-1]:.2f} s"
            for name, found in (("one run", of_watches), ("many", of_feeds))
            if found
        )
