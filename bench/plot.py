"""A bar for each case that is compared with the floor, and a mark where it must reach."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from bench.measure import Result

_LEFT, _WIDTH, _BAR, _GAP, _TOP = 330, 420, 16, 10, 44
_LEGEND = "floor: constant answers by the same server set-up; | must be reached"
_COLORS = {True: "#2a7d4f", False: "#b5482f", None: "#7a7a7a"}


def draw(path: Path, results: Sequence[Result]) -> None:
    """Writes an SVG; cases without a ratio are left out."""
    shown = [r for r in results if r.ratio]
    height = _TOP + len(shown) * (_BAR + _GAP) + 34
    widest = max([1.0, *(r.ratio for r in shown)])
    scale = _WIDTH / widest
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_LEFT + _WIDTH + 70} {height}">',
        '<g font-family="system-ui, sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="{_LEFT}" y="18" font-weight="600">Rate, as a share of the floor</text>',
        f'<text x="{_LEFT}" y="34" fill="#555">{_LEGEND}</text>',
    ]
    for tick in range(int(widest * 4) + 1):
        x = _LEFT + tick / 4 * scale
        parts.append(
            f'<line x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{height - 26}" stroke="#e4e4e4"/>'
            f'<text x="{x:.1f}" y="{height - 10}" text-anchor="middle" fill="#555">{tick / 4:g}'
            "</text>"
        )
    for n, result in enumerate(shown):
        y = _TOP + n * (_BAR + _GAP) + _GAP / 2
        parts.append(
            f'<text x="{_LEFT - 8}" y="{y + 12}" text-anchor="end">{escape(result.case)}</text>'
            f'<rect x="{_LEFT}" y="{y}" width="{result.ratio * scale:.1f}" height="{_BAR}"'
            f' fill="{_COLORS[result.met]}"/>'
            f'<text x="{_LEFT + result.ratio * scale + 6:.1f}" y="{y + 12}">{result.ratio:.2f}'
            "</text>"
        )
        if (least := _least(result.target)) is not None:
            x = _LEFT + least * scale
            parts.append(
                f'<line x1="{x:.1f}" y1="{y - 3}" x2="{x:.1f}" y2="{y + _BAR + 3}"'
                ' stroke="#111" stroke-width="2"/>'
            )
    path.write_text("\n".join([*parts, "</g></svg>"]) + "\n")


def _least(target: str) -> float | None:
    """The ratio in ">= 0.65 of the floor"."""
    words = target.split()
    return float(words[1]) if words[:1] == [">="] and "floor" in target else None
