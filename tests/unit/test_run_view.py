"""The tree of a run: the definition's order, iterations below their loop, what was not reported."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from vwed.v1.block_record_pb2 import BlockRecord, BlockRecordStatus
from vwed.v1.task_record_event_pb2 import TaskRecordEvent
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordStatus

from vwed_grpc.views.folding import rows
from vwed_grpc.views.run_view import Node, RunView
from vwed_grpc.views.svg import ticks
from vwed_grpc.views.timeline import timeline
from vwed_grpc.views.words import duration

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
LOOPS: list[dict[str, Any]] = [
    {"id": "choose", "type": "choose_robot"},
    {
        "id": "totes",
        "type": "for_each",
        "children": {
            "default": [
                {
                    "id": "lines",
                    "type": "for_each",
                    "children": {
                        "default": [{"id": "drive", "type": "d"}, {"id": "pick", "type": "p"}]
                    },
                },
                {"id": "weigh", "type": "w"},
            ]
        },
    },
    {"id": "report", "type": "r"},
]


def view(blocks: Sequence[dict[str, Any]] = LOOPS) -> RunView:
    run = TaskRecord(id="r", status=TaskRecordStatus.TASK_RECORD_STATUS_RUNNING)
    run.start_time.FromDatetime(BEGIN)
    return RunView(run, blocks)


def record(
    block_id: str,
    status: str = "SUCCEEDED",
    iteration: str = "",
    *,
    attempt: int = 1,
    parent: str = "",
    start: float = 0,
    end: float | None = None,
) -> BlockRecord:
    made = BlockRecord(
        id=f"{block_id}/{iteration}/{attempt}",
        block_id=block_id,
        iteration=iteration,
        attempt=attempt,
        parent_block_record_id=parent,
        status=BlockRecordStatus.Value(f"BLOCK_RECORD_STATUS_{status}"),
    )
    made.start_time.FromDatetime(BEGIN + timedelta(seconds=start))
    if end is not None:
        made.end_time.FromDatetime(BEGIN + timedelta(seconds=end))
    return made


def drawn(nodes: Sequence[Node], depth: int = 0) -> Iterator[str]:
    for node in nodes:
        yield f"{'  ' * depth}{node.title} {node.status}".rstrip()
        yield from drawn(node.children, depth + 1)


def test_before_anything_is_reported_the_definition_is_shown() -> None:
    assert list(drawn(view().nodes())) == [
        "choose",
        "totes",
        "  lines",
        "    drive",
        "    pick",
        "  weigh",
        "report",
    ]


def test_iterations_stand_below_their_loop_in_their_order() -> None:
    shown = view()
    for n in (2, 10, 1):
        shown.put(record("lines", iteration=str(n)))
        shown.put(record("weigh", iteration=str(n)))
    for m in (1, 2):
        shown.put(record("drive", iteration=f"2.{m}"))
        shown.put(record("pick", iteration=f"2.{m}"))
    assert list(drawn(shown.nodes()))[1:-1] == [
        "totes",
        "  lines[1] SUCCEEDED",
        "    drive[1]",
        "    pick[1]",
        "  weigh[1] SUCCEEDED",
        "  lines[2] SUCCEEDED",
        "    drive[2.1] SUCCEEDED",
        "    pick[2.1] SUCCEEDED",
        "    drive[2.2] SUCCEEDED",
        "    pick[2.2] SUCCEEDED",
        "  weigh[2] SUCCEEDED",
        "  lines[10] SUCCEEDED",
        "    drive[10]",
        "    pick[10]",
        "  weigh[10] SUCCEEDED",
    ]


def test_what_a_turn_has_not_come_to_yet_stands_at_its_end() -> None:
    shown = view()
    shown.put(record("lines", iteration="1"))
    shown.put(record("weigh", iteration="1"))
    shown.put(record("lines", "RUNNING", iteration="2"))
    assert list(drawn(shown.nodes()))[-5:-1] == [
        "  lines[2] RUNNING",
        "    drive[2]",
        "    pick[2]",
        "  weigh[2]",
    ]


def test_the_latest_attempt_is_shown() -> None:
    shown = view()
    shown.put(record("choose", "FAILED"))
    shown.put(record("choose", "RUNNING", attempt=2))
    assert next(drawn(shown.nodes())) == "choose #2 RUNNING"
    assert len(shown.nodes()[0].attempts) == 2


def test_what_the_definition_lacks_stands_below_its_parent_or_at_the_end() -> None:
    shown = view()
    shown.put(record("choose"))
    shown.put(record("detour", parent="choose//1"))
    shown.put(record("within", parent="detour//1"))
    shown.put(record("stray", "FAILED", parent="nobody"))
    assert list(drawn(shown.nodes())) == [
        "choose SUCCEEDED",
        "  detour SUCCEEDED",
        "    within SUCCEEDED",
        "totes",
        "  lines",
        "    drive",
        "    pick",
        "  weigh",
        "report",
        "stray FAILED",
    ]


def test_events_move_it_on() -> None:
    shown = view()
    shown.apply(TaskRecordEvent(seq=7, block_record=record("choose", "RUNNING"), progress=0.5))
    shown.apply(
        TaskRecordEvent(
            seq=8,
            task_record=TaskRecord(
                id="r", status=TaskRecordStatus.TASK_RECORD_STATUS_PAUSING, progress=0.5
            ),
        )
    )
    assert shown.seq == 8
    assert shown.run.progress == 0.5
    assert shown.run.status == TaskRecordStatus.TASK_RECORD_STATUS_PAUSING
    assert next(drawn(shown.nodes())) == "choose RUNNING"


@pytest.mark.parametrize("most", [1, 5, 12, 100, 100_000])
def test_folding_keeps_within_bounds_and_what_failed_or_works_in_sight(most: int) -> None:
    shown = view([{"id": "each", "type": "f", "children": {"d": [{"id": "pick", "type": "p"}]}}])
    shown.put(record("each", "RUNNING"))
    for n in range(1, 2_001):
        shown.put(record("pick", iteration=str(n)))
    shown.put(record("pick", "FAILED", "2001"))
    shown.put(record("pick", "RUNNING", "2002"))
    found, left = rows(shown.nodes(), most=most)
    assert len(found) <= most
    assert sum(len(row.nodes) for row in found) + left.total() == 2_003
    titles = [row.title for row in found]
    if most >= 5:
        assert titles[-2:] == ["pick[2001]", "pick[2002]"]
        assert not left
    if 5 <= most <= 100:
        assert titles[:2] == ["each", "pick *2000 +2000"]


def test_what_lies_below_what_is_over_is_folded_before_anything_is_left_out() -> None:
    shown = view(
        [
            {"id": f"b{n}", "type": "x", "children": {"d": [{"id": f"c{n}", "type": "y"}]}}
            for n in range(9)
        ]
    )
    for n in range(9):
        shown.put(record(f"b{n}"))
        shown.put(record(f"c{n}"))
    found, left = rows(shown.nodes(), most=10)
    assert [row.title for row in found] == [f"b{n}" for n in range(9)]
    assert not left


def test_where_room_is_short_what_failed_and_what_is_itself_at_work_come_first() -> None:
    body = [{"id": "pick", "type": "p"}]
    shown = view([{"id": f"b{n}", "type": "x", "children": {"d": body}} for n in range(9)])
    for n in range(9):
        shown.put(record(f"b{n}", "RUNNING"))
        status = "FAILED" if n > 5 else "CANCELED" if n < 3 else "RUNNING"
        shown.put(record(f"p{n}", status, parent=f"b{n}//1"))
    found, left = rows(shown.nodes(), most=8)
    assert [row.title for row in found] == ["b0", "b1", "b2", "p3", "p4", "p6", "p7", "p8"]
    assert left == {"RUNNING": 7, "CANCELED": 3, "": 9}
    found, left = rows(shown.nodes(), most=3)
    assert [row.title for row in found] == ["b0", "p6", "p7"]
    assert left == {"RUNNING": 11, "FAILED": 1, "CANCELED": 3, "": 9}


def test_a_run_lasts_also_while_no_block_is_at_work() -> None:
    shown = view()
    shown.put(record("choose", start=1, end=3))
    assert timeline(shown, BEGIN + timedelta(seconds=10), most=100).seconds == 10


def test_what_works_or_failed_stays_when_others_are_left_out() -> None:
    shown = view([{"id": f"b{n}", "type": "x"} for n in range(9)])
    shown.put(record("b4", "FAILED"))
    shown.put(record("b8", "RUNNING"))
    found, left = rows(shown.nodes(), most=4)
    assert [row.title for row in found] == ["b0", "b1", "b4", "b8"]
    assert left == {"": 5}


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (-1, "0.00s"),
        (59.96, "60.0s"),
        (185, "3m05s"),
        (2 * 3600 + 7 * 60 + 59, "2h07m"),
        (3 * 86_400 + 4 * 3600, "3d04h"),
    ],
)
def test_a_duration_is_told_in_its_two_largest_units(seconds: float, told: str) -> None:
    assert duration(seconds) == told


def test_a_timeline_counts_from_the_runs_start_and_goes_on_until_now() -> None:
    shown = view()
    shown.put(record("choose", start=1, end=3))
    shown.put(record("totes", "RUNNING", start=3))
    shown.put(record("choose", "FAILED", start=2, end=1, attempt=2))  # a clock was set
    drawn_ = timeline(shown, BEGIN + timedelta(seconds=10), most=100)
    assert drawn_.begin == BEGIN
    assert drawn_.seconds == 10
    assert [(bar.begin, bar.end) for bar in drawn_.lines[0].bars] == [(1, 3), (2, 2)]
    assert [(bar.begin, bar.end) for bar in drawn_.lines[1].bars] == [(3, 10)]
    assert drawn_.lines[2].bars == []


@pytest.mark.parametrize("seconds", [0.001, 0.9, 1, 7, 59, 3_600, 1e6])
def test_an_axis_has_some_round_ticks(seconds: float) -> None:
    found = ticks(seconds)
    assert 4 <= len(found) <= 10
    assert found[0] == 0
    assert found[-1] <= seconds * 1.000001
