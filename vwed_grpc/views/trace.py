"""A timeline in Chrome's trace format, which Perfetto opens.

Blocks run beside each other, so each is a pair of asynchronous events: Perfetto refuses synchronous
ones that overlap without one lying in the other.
"""

import json
from collections.abc import Iterator
from typing import Any

from vwed_grpc.views.timeline import Timeline


def trace(shown: Timeline, title: str) -> str:
    """JSON; times in microseconds since the timeline's begin."""
    events = [
        {"ph": "M", "pid": 1, "name": "process_name", "args": {"name": title}},
        *_events(shown),
    ]
    return json.dumps({"traceEvents": events, "displayTimeUnit": "ms"}, ensure_ascii=False)


def _events(shown: Timeline) -> Iterator[dict[str, Any]]:
    number = 0
    for line in shown.lines:
        for bar in line.bars:
            number += 1
            common = {"cat": "block", "name": bar.title, "id": number, "pid": 1, "tid": 1}
            said = {"status": bar.status, "attempt": bar.attempt, "message": bar.message}
            yield common | {"ph": "b", "ts": round(bar.begin * 1e6), "args": said}
            yield common | {"ph": "e", "ts": round(bar.end * 1e6)}
