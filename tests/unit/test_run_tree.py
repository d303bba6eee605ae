"""Where runs below deleted ones go, in a tree of a few: a > b > c > d, and e beside b."""

import pytest
from vwed.v1.task_record_pb2 import TaskRecord

from vwed_grpc.domain.lifecycle import RUNNING
from vwed_grpc.domain.run_tree import Below, Place, moves

PARENTS = {"a": "", "b": "a", "c": "b", "d": "c", "e": "a"}


def below(*deleted: str) -> dict[str, Below]:
    """All runs below these, parents before their runs."""
    found: dict[str, Below] = {}
    for run, parent in PARENTS.items():
        if parent in deleted or parent in found:
            found[run] = Below(parent, RUNNING)
    return found


@pytest.mark.parametrize(
    ("deleted", "places"),
    [
        ("a", {"b": Place("b", "", ""), "e": Place("e", "", ""), "c": Place("b"), "d": Place("b")}),
        ("b", {"c": Place(None, "a", "block-of-b")}),
        ("c", {"d": Place(None, "b", "block-of-c")}),
        ("d", {}),
        # They take the place of the uppermost one that goes.
        ("bc", {"d": Place(None, "a", "block-of-b")}),
        ("ab", {"c": Place("c", "", ""), "e": Place("e", "", ""), "d": Place("c")}),
        # The root of one that moves is that of the one it moves to.
        (
            "ac",
            {"b": Place("b", "", ""), "e": Place("e", "", ""), "d": Place("b", "b", "block-of-c")},
        ),
        ("abcde", {}),
    ],
)
def test_runs_that_stay_move_up(deleted: str, places: dict[str, Place]) -> None:
    gone = {
        run: TaskRecord(
            id=run,
            parent_task_record_id=PARENTS[run],
            parent_block_record_id=f"block-of-{run}" if PARENTS[run] else "",
        )
        for run in deleted
    }
    assert moves(gone, below(*deleted)) == places
