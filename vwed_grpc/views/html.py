"""A timeline as a page that stands alone, whose time axis can be stretched: bursts come apart."""

from html import escape

from vwed_grpc.views.svg import color, ticks
from vwed_grpc.views.timeline import Line, Timeline
from vwed_grpc.views.words import duration

_STYLE = """
:root { --zoom: 1 }
body { margin: 16px; color: #24292f; background: #fff;
  font: 13px system-ui, "Noto Sans CJK SC", "Microsoft YaHei", "PingFang SC", sans-serif }
h1 { font-size: 18px }
label { display: block; margin: 8px 0 }
input { width: 240px; vertical-align: middle }
.all { display: flex; border: 1px solid #d0d7de }
.names { flex: 0 0 320px; border-right: 1px solid #d0d7de }
.names div, .row { height: 22px; line-height: 22px; white-space: nowrap; overflow: hidden;
  text-overflow: ellipsis }
.names div:nth-child(even), .row:nth-child(even) { background: #f6f8fa }
.plot { flex: 1; overflow-x: auto }
.inner { position: relative; width: calc(var(--zoom) * 100%) }
.row, .axis { position: relative; height: 22px }
.row i { position: absolute; top: 5px; height: 12px; min-width: 2px; border-radius: 2px }
.axis { color: #57606a }
.axis span { position: absolute; border-left: 1px solid #d0d7de; padding-left: 3px }
"""
_SCRIPT = (
    "document.querySelector('input').oninput="
    "e=>document.documentElement.style.setProperty('--zoom',2**e.target.value)"
)


def html(shown: Timeline, title: str) -> str:
    """The page's source."""
    names = "".join(_name(line) for line in shown.lines)
    rows = "".join(_row(shown, line) for line in shown.lines)
    left = f"<p>and {more:,} more blocks</p>" if (more := shown.left_out.total()) else ""
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style><h1>{escape(title)}</h1>"
        '<label>Stretch <input type="range" min="0" max="10" step="0.25" value="0"></label>'
        f'<div class="all"><div class="names"><div></div>{names}</div>'
        f'<div class="plot"><div class="inner"><div class="axis">{_axis(shown)}</div>{rows}</div>'
        f"</div></div>{left}<script>{_SCRIPT}</script></html>\n"
    )


def _name(line: Line) -> str:
    told = escape(f"{line.title} {line.status}".rstrip())
    style = f"padding-left:{8 + 14 * line.depth}px"
    return f'<div style="{style}" title="{told}">{escape(line.label)}</div>'


def _row(shown: Timeline, line: Line) -> str:
    bars = "".join(
        f'<i title="{escape(bar.told)}" style="left:{_percent(shown, bar.begin)};'
        f"width:{_percent(shown, bar.end - bar.begin)};"
        f'background:{color(bar.status)}"></i>'
        for bar in line.bars
    )
    return f'<div class="row">{bars}</div>'


def _axis(shown: Timeline) -> str:
    return "".join(
        f'<span style="left:{_percent(shown, tick)}">{duration(tick) if tick else 0}</span>'
        for tick in ticks(shown.seconds)
    )


def _percent(shown: Timeline, seconds: float) -> str:
    return f"{100 * min(max(seconds / shown.seconds, 0.0), 1.0):.4f}%"
