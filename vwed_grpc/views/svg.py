"""A timeline as a picture that stands alone: no script, no font or file from elsewhere."""

from html import escape
from math import floor, log10

from vwed_grpc.views.timeline import Line, Timeline
from vwed_grpc.views.words import duration

_COLORS = {
    "RUNNING": "#0a84c6",
    "PAUSED": "#b58900",
    "SUCCEEDED": "#3a9a4b",
    "FAILED": "#c8372d",
    "CANCELED": "#8a6d3b",
    "SKIPPED": "#9aa0a6",
    "PENDING": "#c5c9ce",
}
_ROW, _BAR, _HEAD = 22, 12, 46
_NAMES, _PLOT, _MARGIN = 300, 620, 12
_INDENT = 14
_LONGEST_TITLE = 42
"""Characters; those of East Asian scripts count as two."""
_STYLE = (
    'text{font:12px system-ui,"Noto Sans CJK SC","Microsoft YaHei","PingFang SC",sans-serif;'
    "fill:#24292f}.s{fill:#6a737d}.g{stroke:#e1e4e8}.t{font-size:15px;font-weight:600}"
)


def svg(shown: Timeline, title: str) -> str:
    """The picture's source."""
    width = _NAMES + _PLOT + 2 * _MARGIN
    height = _HEAD + _ROW * len(shown.lines) + _MARGIN
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" role="img"><title>{escape(title)}</title>'
            f"<style>{_STYLE}</style>"
            f'<rect width="{width}" height="{height}" fill="#fff"/>'
            f'<text class="t" x="{_MARGIN}" y="20">{escape(title)}</text>'
        ),
        *_axis(shown, height),
    ]
    for number, line in enumerate(shown.lines):
        parts += _line(shown, line, _HEAD + _ROW * number)
    return "\n".join([*parts, "</svg>\n"])


def color(status: str) -> str:
    """Of a bar; the lightest for what says nothing."""
    return _COLORS.get(status, _COLORS["PENDING"])


def ticks(seconds: float) -> list[float]:
    """Round places on an axis of such a length, four to ten of them, 0 among them."""
    rough = seconds / 8
    ten = 10.0 ** floor(log10(rough))
    step = next(ten * times for times in (1, 2, 5, 10) if ten * times >= rough)
    return [step * n for n in range(int(seconds / step) + 1)]


def _axis(shown: Timeline, height: int) -> list[str]:
    parts = []
    for tick in ticks(shown.seconds):
        x = _x(shown, tick)
        parts.append(
            f'<line class="g" x1="{x:.1f}" x2="{x:.1f}" y1="{_HEAD - 6}" y2="{height - _MARGIN}"/>'
            f'<text class="s" x="{x:.1f}" y="{_HEAD - 10}" text-anchor="middle">'
            f"{'0' if not tick else duration(tick)}</text>"
        )
    return parts


def _line(shown: Timeline, line: Line, y: int) -> list[str]:
    x = _MARGIN + _INDENT * line.depth
    parts = [
        (
            f'<text x="{x}" y="{y + 15}"><title>{escape(line.title)}</title>'
            f"{escape(_cut(line.label, _LONGEST_TITLE - 2 * line.depth))}</text>"
        )
    ]
    for bar in line.bars:
        begin, end = _x(shown, bar.begin), _x(shown, bar.end)
        parts.append(
            f'<rect x="{begin:.1f}" y="{y + 5}" width="{max(end - begin, 2):.1f}" '
            f'height="{_BAR}" rx="2" fill="{color(bar.status)}">'
            f"<title>{escape(bar.told)}</title></rect>"
        )
    return parts


def _x(shown: Timeline, seconds: float) -> float:
    return _MARGIN + _NAMES + _PLOT * min(max(seconds / shown.seconds, 0.0), 1.0)


def _cut(text: str, most: int) -> str:
    width = 0
    for n, character in enumerate(text):
        width += 1 if character.isascii() else 2
        if width > most:
            return text[:n] + "…"
    return text
