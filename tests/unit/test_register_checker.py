"""The judge of registers is right about histories made up for it."""

from typing import Any

import pytest

from tests.support.register_checker import Findings, Journal, Process, Read, Write, check

A: Process = ("a", 1)
B: Process = ("b", 1)


def write(order: int, began: float, ended: float, process: Process = A, **other: Any) -> Write:
    return Write("r", process, began, ended, order, f"t{order}", other.get("acknowledged", True))


def read(order: int | None, began: float, ended: float, process: Process = B, **other: Any) -> Read:
    expires, strong = other.get("expires"), other.get("strong", False)
    return Read("r", process, began, ended, order, f"t{order}", expires, strong)


def judge(*history: Write | Read, lost: bool = False, ends: Any = ()) -> Findings:
    journal = Journal(bounds={"r": 7.0}, ends={"r": list(ends)})
    journal.writes = [item for item in history if isinstance(item, Write)]
    journal.reads = [item for item in history if isinstance(item, Read)]
    return check(journal, lambda *_: lost)


def test_reads_of_the_present_and_of_what_is_being_written_are_fine() -> None:
    found = judge(
        write(2, 0, 1), read(2, 1, 2), write(4, 2, 3), read(4, 2.1, 2.2), read(2, 2.5, 3.5)
    )
    assert (found.violations, found.excused) == ([], 0)


def test_a_stale_read_is_found() -> None:
    assert len(judge(write(2, 0, 1), write(4, 1, 2), read(2, 2.1, 2.2)).violations) == 1


def test_a_stale_read_is_excused_while_invalidations_may_be_lost() -> None:
    found = judge(write(2, 0, 1), write(4, 1, 2), read(2, 2.1, 2.2), lost=True)
    assert (found.violations, found.excused) == ([], 1)


@pytest.mark.parametrize(
    "stale",
    [
        read(2, 9.1, 9.2),  # beyond the bound
        read(2, 2.1, 2.2, strong=True),
        read(2, 2.1, 2.2, A),  # by the writer's own process
    ],
)
def test_no_excuse(stale: Read) -> None:
    assert judge(write(2, 0, 1), write(4, 1, 2), stale, lost=True).violations


def test_an_absence_is_as_new_as_the_last_end() -> None:
    ends = [(5.0, 3)]
    assert not judge(write(2, 0, 1), read(None, 4.8, 5.1), ends=ends).violations
    assert judge(write(2, 0, 1), read(None, 4.8, 4.9), ends=ends).violations
    assert judge(write(2, 0, 1), write(4, 5, 6), read(None, 6.1, 6.2), ends=ends).violations


def test_what_has_ended_is_never_excused() -> None:
    late = read(2, 5.0, 5.1, expires=5.0)
    assert judge(write(2, 0, 1), late, lost=True).violations
    assert not judge(write(2, 0, 1), read(2, 4.9, 5.1, expires=5.0)).violations


def test_a_write_that_was_not_answered_is_seen_in_the_end() -> None:
    lost = write(4, 1, 2, acknowledged=False)
    found = judge(write(2, 0, 1), lost, read(2, 14, 14.1), read(4, 14.5, 14.6))
    assert (found.violations, found.unanswered) == ([], 1)
    assert judge(write(2, 0, 1), lost, read(4, 3, 4), read(2, 15.1, 15.2)).violations
    assert not judge(write(2, 0, 1), lost, read(2, 15.1, 15.2)).violations  # never took place
