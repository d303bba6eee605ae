"""Whether what a service takes grows while its load does not. Pure: takes what was sampled."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

MOST = 0.05
"""By this share a figure may be above what it was, once it had settled."""
PARTS = 6
"""Of the time. The second one is compared with the last: of half an hour minutes
5 to 10, and the last 5."""

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
    """One figure in each part of the time; None: it was not read."""

    name: Name
    rule: Rule
    parts: Sequence[float | None]
    settled: bool
    """The part of the time that is compared with came after it had settled."""

    @property
    def first(self) -> float | None:
        return self.parts[1]

    @property
    def last(self) -> float | None:
        return self.parts[-1]

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
        return f"{who}, {what}: {', '.join(_said(part, self.rule) for part in self.parts)}"


def growths(
    samples: Sequence[Sample], seconds: float, rules: Mapping[str, Rule]
) -> Iterator[Growth]:
    """Of each figure that ever was read, in the order of the first reading of each."""
    names = dict.fromkeys(name for sample in samples for name in sample.figures)
    for name in names:
        part = seconds / PARTS
        parts = [
            _median(
                sample.figures[name]
                for sample in samples
                if n * part <= sample.at <= (n + 1) * part and name in sample.figures
            )
            for n in range(PARTS)
        ]
        rule = rules[name[1]]
        yield Growth(name, rule, parts, settled=rule.settles <= part)


def table(grown: Iterable[Growth], seconds: float) -> str:
    """As Markdown."""
    early, late = (
        f"{_time(n * seconds / PARTS)} to {_time((n + 1) * seconds / PARTS)}"
        for n in (1, PARTS - 1)
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
