"""What a watch of many runs is told of changes by a filter."""

from collections.abc import Sequence

import pytest
from vwed.v1.task_record_pb2 import TaskRecordFilter

from vwed_grpc.storage.events import Event, Kind
from vwed_grpc.watching.chunk import Change, Selection, State, Told


def test_of_a_run_whose_state_is_not_kept_too_much_is_told_but_of_no_run_not_asked_for() -> None:
    """Retention has taken the events that said what the run was before."""
    change = Change("a", Event(9, 9, Kind.DELETED, b"", None), State("a", None), None)

    def told(*ids: str, robots: Sequence[str] = ()) -> int:
        wanted = TaskRecordFilter(ids=ids, robot_ids=robots)
        return len([*Selection(wanted, blocks=True).of([change])])

    assert told() == told(robots=["r"]) == told("a", "b", robots=["r"]) == 1
    assert told("b") == told("b", robots=["r"]) == 0


def test_progress_is_left_of_reports_that_no_change_of_the_run_follows() -> None:
    def change(run: str, seq: int, kind: Kind) -> Change:
        return Change(run, Event(seq, seq, kind, b"", None), None, None)

    first, ended, last = (
        change("a", 3, Kind.BLOCK),
        change("a", 4, Kind.FINISHED),
        change("b", 3, Kind.BLOCK),
    )
    told = Told([first, ended, last], blocks=False)
    assert told.changes == [ended]
    assert told.progress == {"b": last}
    again = Told([first, ended, last], blocks=True)
    assert again.changes == [first, ended, last]
    assert not again.progress


@pytest.mark.parametrize("blocks", [False, True])
def test_what_is_left_of_it_is_made_anew_unless_all_is(blocks: bool) -> None:
    first, second, third = (
        Change("a", Event(n, n, kind, b"", None), None, None)
        for n, kind in enumerate([Kind.RUN, Kind.RUN, Kind.BLOCK])
    )
    told = Told([first, second, third], blocks=blocks)
    assert told.only(lambda _: True, blocks=blocks) is told
    left = told.only(lambda change: change is not first, blocks=blocks)
    assert left.changes == ([second, third] if blocks else [second])
    assert left.progress == ({} if blocks else {"a": third})
