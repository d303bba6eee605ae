"""Whether what a service takes grows while its load does not. Pure: takes what was sampled."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

MOST = 0.05
"""By this share a figure may be above what it was, once it had settled."""
FIRST, LAST = (1 / 6, 1 / 3), (5 / 6, 1.0)
"""Which parts of the time are compared: of half an hour minutes 5 to 10, and the last 5."""

Name = tuple[str, str]
"""Whose figure it is, and of what; the latter is a key of the rules."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How a figure is judged."""

    unit: str
    settles: float = 0.0
    """Seconds that it takes to come to what it stays at; before, it tells nothing."""
    floor: float = 0.0
    """By so much it may differ from one minute to another, however small it is."""
    judged: bool = True


@dataclass(frozen=True, slots=True)
class Sample:
    """What was read at one time; what could not be read then is missing."""

    at: float
    """Seconds since the load began."""
    figures: Mapping[Name, float]


@dataclass(frozen=True, slots=True)
class Growth:
    """One figure, early and late; None: it was not read."""

    name: Name
    rule: Rule
    first: float | None
    last: float | None
    settled: bool
    """The first part of the time came after it had settled."""

    @property
    def judged(self) -> bool:
        return self.rule.judged and self.settled

    @property
    def too_much(self) -> bool:
        """It has grown, or nobody knows."""
        if self.first is None or self.last is None:
            return self.rule.judged
        grown = self.last - self.first
        return self.judged and grown > MOST * self.first and grown > self.rule.floor

    def __str__(self) -> str:
        who, what = self.name
        return (
            f"{who}, {what}: from {_said(self.first, self.rule)} to {_said(self.last, self.rule)}"
        )


def growths(
    samples: Sequence[Sample], seconds: float, rules: Mapping[str, Rule]
) -> Iterator[Growth]:
    """Of each figure that ever was read, in the order of the first reading of each."""
    names = dict.fromkeys(name for sample in samples for name in sample.figures)
    for name in names:
        first, last = (
            _median(
                sample.figures[name]
                for sample in samples
                if begin * seconds <= sample.at <= end * seconds and name in sample.figures
            )
            for begin, end in (FIRST, LAST)
        )
        rule = rules[name[1]]
        yield Growth(name, rule, first, last, settled=rule.settles <= FIRST[0] * seconds)


def table(grown: Iterable[Growth], seconds: float) -> str:
    """As Markdown."""
    early, late = (
        f"{_time(begin * seconds)} to {_time(end * seconds)}" for begin, end in (FIRST, LAST)
    )
    lines = [f"| of | what | {early} | {late} | growth |", "| --- | --- | ---: | ---: | ---: |"]
    for one in grown:
        who, what = one.name
        cells = (who, what, *(_said(figure, one.rule) for figure in (one.first, one.last)))
        lines.append(f"| {' | '.join(cells)} | {_share(one)} |")
    return "\n".join(lines)


def _share(one: Growth) -> str:
    if one.first is None or one.last is None:
        return "**not read**"
    if not one.rule.judged:
        return ""
    share = f"{(one.last - one.first) / one.first:+.1%}" if one.first else ""
    if one.too_much:
        return f"**{share or 'from nothing'}**"
    return (
        share if one.settled else f"({share}: too early, it settles in {_time(one.rule.settles)})"
    )


def _said(figure: float | None, rule: Rule) -> str:
    if figure is None:
        return "?"
    number = f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"
    return f"{number} {rule.unit}".strip()


def _time(seconds: float) -> str:
    return f"{seconds / 60:.3g} min" if seconds >= 60 else f"{seconds:.3g} s"


def _median(figures: Iterable[float]) -> float | None:
    found = [*figures]
    return median(found) if found else None
