"""A bar for each case that is compared with the floor, and for the crowd; a mark at each bound."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from bench.crowd.case import MOST
from bench.measure import Result

_LEFT, _WIDTH, _BAR, _GAP, _TOP, _BELOW = 330, 420, 16, 10, 44, 34
_COLORS = {True: "#2a7d4f", False: "#b5482f", None: "#7a7a7a"}


@dataclass(frozen=True)
class Bar:
    label: str
    value: float
    bound: float | None
    met: bool | None


@dataclass(frozen=True)
class Panel:
    title: str
    legend: str
    bars: Sequence[Bar]
    least: float
    """Up to which the scale goes at least."""
    step: float
    """Between two lines of the scale."""

    @property
    def height(self) -> float:
        return _TOP + len(self.bars) * (_BAR + _GAP) + _BELOW


def draw(path: Path, results: Sequence[Result]) -> None:
    """Writes an SVG; cases without a ratio are left out."""
    floor = Panel(
        "Rate, as a share of the floor",
        "floor: constant answers by the same server set-up; | must be reached",
        [Bar(r.case, r.ratio, _least(r.target), r.met) for r in results if r.ratio],
        1.0,
        0.25,
    )
    crowd = Panel(
        "Time that a tenant's calls take beside a crowd, as a multiple",
        "of what they take beside the other tenant's 64 reporters alone; | must not be passed",
        [
            Bar(f"{r.case}, {name}", ratio, most, ratio <= most)
            for r in results
            for name, most in MOST.items()
            if (ratio := r.figures.get(f"of_alone_{name}"))
        ],
        3.0,
        0.5,
    )
    panels = [panel for panel in (floor, crowd) if panel.bars]
    height = sum(panel.height for panel in panels)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_LEFT + _WIDTH + 70} {height}">',
        '<g font-family="system-ui, sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="#fff"/>',
    ]
    top = 0.0
    for panel in panels:
        parts += _drawn(panel, top)
        top += panel.height
    path.write_text("\n".join([*parts, "</g></svg>"]) + "\n")


def _drawn(panel: Panel, top: float) -> list[str]:
    widest = max([panel.least, *(bar.value for bar in panel.bars)])
    scale = _WIDTH / widest
    bottom = top + panel.height
    parts = [
        f'<text x="{_LEFT}" y="{top + 18}" font-weight="600">{panel.title}</text>',
        f'<text x="{_LEFT}" y="{top + 34}" fill="#555">{panel.legend}</text>',
    ]
    for n in range(int(widest / panel.step) + 1):
        tick = n * panel.step
        x = _LEFT + tick * scale
        parts.append(
            f'<line x1="{x:.1f}" y1="{top + _TOP}" x2="{x:.1f}" y2="{bottom - 26}"'
            ' stroke="#e4e4e4"/>'
            f'<text x="{x:.1f}" y="{bottom - 10}" text-anchor="middle" fill="#555">{tick:g}</text>'
        )
    for n, bar in enumerate(panel.bars):
        y = top + _TOP + n * (_BAR + _GAP) + _GAP / 2
        parts.append(
            f'<text x="{_LEFT - 8}" y="{y + 12}" text-anchor="end">{escape(bar.label)}</text>'
            f'<rect x="{_LEFT}" y="{y}" width="{bar.value * scale:.1f}" height="{_BAR}"'
            f' fill="{_COLORS[bar.met]}"/>'
            f'<text x="{_LEFT + bar.value * scale + 6:.1f}" y="{y + 12}">{bar.value:.2f}</text>'
        )
        if bar.bound is not None:
            x = _LEFT + bar.bound * scale
            parts.append(
                f'<line x1="{x:.1f}" y1="{y - 3}" x2="{x:.1f}" y2="{y + _BAR + 3}"'
                ' stroke="#111" stroke-width="2"/>'
            )
    return parts


def _least(target: str) -> float | None:
    """The ratio in ">= 0.65 of the floor"."""
    words = target.split()
    return float(words[1]) if words[:1] == [">="] and "floor" in target else None
