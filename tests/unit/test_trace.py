"""A trace has a thread for each line, on which nothing overlaps."""

import json
from collections import Counter
from datetime import UTC, datetime
from itertools import groupby, pairwise
from typing import Any

from vwed_grpc.views.timeline import Bar, Line, Timeline
from vwed_grpc.views.trace import trace


def bar(begin: float, end: float, title: str) -> Bar:
    return Bar(begin, end, title, "SUCCEEDED", 1, "电量 9")


def traced(*lines: Line) -> list[dict[str, Any]]:
    shown = Timeline(datetime(2026, 1, 1, tzinfo=UTC), 10.0, lines, Counter())
    events: list[dict[str, Any]] = json.loads(trace(shown, "入库上架: RUNNING"))["traceEvents"]
    return events


def test_threads_stand_in_the_order_of_the_lines_and_bear_their_names() -> None:
    process, *events = traced(
        Line(0, "both", "RUNNING", [bar(0, 9, "both")]),
        Line(1, "pick 拣货", "SUCCEEDED", [bar(1, 2, "pick 拣货")]),
        Line(0, "report", "", []),
    )
    assert process == {
        "ph": "M", "pid": 1, "tid": 0, "name": "process_name",
        "args": {"name": "入库上架: RUNNING"},
    }  # fmt: skip
    names = [each["args"]["name"] for each in events if each["name"] == "thread_name"]
    assert names == ["both", "  pick 拣货"]
    order = [each for each in events if each["name"] == "thread_sort_index"]
    assert [(each["tid"], each["args"]["sort_index"]) for each in order] == [(1, 1), (2, 2)]
    assert events[-1] == {
        "ph": "X", "cat": "block", "pid": 1, "tid": 2, "name": "pick 拣货",
        "ts": 1_000_000, "dur": 1_000_000,
        "args": {"status": "SUCCEEDED", "attempt": 1, "message": "电量 9"},
    }  # fmt: skip


def test_what_overlaps_on_a_line_has_threads_of_its_own() -> None:
    bars = [bar(0, 3, "p[1]"), bar(3, 4, "p[3]"), bar(2, 5, "p[2]"), bar(4, 4, "p[4]")]
    events = [event for event in traced(Line(0, "p *4 +4", "SUCCEEDED", bars)) if "ts" in event]
    told = {
        thread: [event["name"] for event in on]
        for thread, on in groupby(events, lambda event: event["tid"])
    }
    assert told == {1: ["p[1]", "p[3]", "p[4]"], 2: ["p[2]"]}
    for _, on in groupby(events, lambda event: event["tid"]):
        for one, next_ in pairwise(on):
            assert one["ts"] + one["dur"] <= next_["ts"]
