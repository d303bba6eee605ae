"""A timeline in Chrome's trace format, which Perfetto opens.

A line is a thread, for threads are shown in an order of ours. What overlaps on a line without one
lying in the other is no stack of calls, which Perfetto takes a thread's events to be: it leaves
them out. So such bars of a line have threads of their own.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from vwed_grpc.views.timeline import Bar, Timeline


def trace(shown: Timeline, title: str) -> str:
    """JSON; times in microseconds since the timeline's begin."""
    events = [_named("process_name", 0, title), *_events(shown)]
    return json.dumps({"traceEvents": events, "displayTimeUnit": "ms"}, ensure_ascii=False)


def _events(shown: Timeline) -> Iterator[dict[str, Any]]:
    thread = 0
    for line in shown.lines:
        for bars in _apart(line.bars):
            thread += 1
            yield _named("thread_name", thread, f"{'  ' * line.depth}{line.title}")
            yield _about("thread_sort_index", thread, sort_index=thread)
            for bar in bars:
                begin, end = _micros(bar)
                said = {"status": bar.status, "attempt": bar.attempt, "message": bar.message}
                common = {"ph": "X", "cat": "block", "pid": 1, "tid": thread, "name": bar.title}
                yield common | {"ts": begin, "dur": end - begin, "args": said}


def _apart(bars: Sequence[Bar]) -> list[list[Bar]]:
    """The bars in as few rows as it takes for those of a row not to overlap."""
    rows: list[list[Bar]] = []
    for bar in sorted(bars, key=_micros):
        free = (row for row in rows if _micros(row[-1])[1] <= _micros(bar)[0])
        if (row := next(free, None)) is not None:
            row.append(bar)
        else:
            rows.append([bar])
    return rows


def _micros(bar: Bar) -> tuple[int, int]:
    return round(bar.begin * 1e6), round(bar.end * 1e6)


def _named(kind: str, thread: int, name: str) -> dict[str, Any]:
    return _about(kind, thread, name=name)


def _about(kind: str, thread: int, **said: Any) -> dict[str, Any]:
    return {"ph": "M", "pid": 1, "tid": thread, "name": kind, "args": said}
