"""The checker of executors on stories made by hand: content with what is right, red for each wrong.

The story: one executor begins a run, is frozen amid a block, and takes the run back; it is released
at SIGTERM, and another executor takes it up, is paused for a while, and finishes it.
"""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults import executor_checker
from tests.faults.executor_checker import Freeze, Story
from tests.faults.executor_history import Event
from tests.faults.journal import Begun, Drive, Ended, Journal, Key, Over, mark_in, read

pytestmark = pytest.mark.bites

A, B, C = ("a", "", 1), ("b", "", 1), ("c", "", 1)
B2, D = ("b", "", 2), ("d", "", 1)


def _history() -> list[Event]:
    told: list[Event] = []

    def tell(actor: str, epoch: int, executor: str, **said: object) -> None:
        seq = len(told) + 1
        told.append(Event(seq, 100.0 + seq, actor, epoch, executor, report=seq, **said))  # type: ignore[arg-type]  # what it is is checked by the checker's tests

    def block(key: Key, status: str, epoch: int, executor: str, mark: str = "") -> None:
        tell(executor, epoch, executor, block=key, block_status=status, mark=mark)

    tell("wms", 0, "", status="PENDING")
    tell("one", 1, "one", status="RUNNING")
    tell("wms", 1, "one", signal="look")
    block(A, "RUNNING", 1, "one")
    block(A, "SUCCEEDED", 1, "one", "<a>")  # at 105
    tell("", 1, "one", status="INTERRUPTED")
    tell("one", 2, "one", status="RUNNING")
    block(B, "RUNNING", 2, "one")
    block(B, "FAILED", 2, "one", "<b>")
    block(B2, "RUNNING", 2, "one")  # at 110
    block(B2, "CANCELED", 2, "one")
    tell("one", 2, "one", status="INTERRUPTED")
    tell("two", 3, "two", status="RUNNING")
    block(C, "RUNNING", 3, "two")
    tell("wms", 3, "two", status="PAUSING")  # at 115
    block(C, "SUCCEEDED", 3, "two", "<c>")
    tell("two", 3, "two", status="PAUSED")
    tell("wms", 3, "two", status="RUNNING")
    tell("wms", 3, "two", signal="hear")
    block(D, "RUNNING", 3, "two")  # at 120
    block(D, "SUCCEEDED", 3, "two", "<d>")
    tell("two", 3, "two", status="SUCCEEDED", mark="<run>")
    return told


def _begun(key: Key, epoch: int, at: float) -> Begun:
    return Begun(key, epoch, at - 0.001, at, at)


def _drives() -> list[Drive]:
    one = Drive(
        "p.1",
        "one",
        "run",
        1,
        102.1,
        begun=[_begun(A, 1, 103.5), _begun(B, 1, 105.5), _begun(B2, 2, 109.5)],
        ended=[
            Ended(A, "SUCCEEDED", "<a>"),
            Ended(B, "FAILED", "<b>"),
            Ended(B2, "CANCELED", ""),
        ],
        heard=["look"],
        over=Over(2, "CANCELED", "", "RELEASED"),
    )
    two = Drive(
        "q.1",
        "two",
        "run",
        3,
        113.1,
        begun=[_begun(C, 3, 113.5), _begun(D, 3, 119.5)],
        ended=[Ended(C, "SUCCEEDED", "<c>"), Ended(D, "SUCCEEDED", "<d>")],
        heard=["hear"],
        over=Over(3, "SUCCEEDED", "<run>", ""),
    )
    return [one, two]


FREEZES = [Freeze("p.1", 105.6, 105.6, 107.5)]


def _story(change: Callable[[list[Event], list[Drive]], object] = lambda *_: None) -> Story:
    events, drives = _history(), copy.deepcopy(_drives())
    change(events, drives)
    return Story("run", events, drives, FREEZES)


def _set(events: list[Event], seq: int, **other: object) -> None:
    events[seq - 1] = replace(events[seq - 1], **other)  # type: ignore[arg-type]  # see above


def _begin(drive: Drive, key: Key, epoch: int, at: float) -> None:
    drive.begun.append(_begun(key, epoch, at))


WRONG: list[tuple[str, Callable[[list[Event], list[Drive]], object]]] = [
    ("ends_as_its_code_did", lambda e, _: _set(e, 5, block_status="FAILED")),
    ("ends_as_its_code_did", lambda e, _: _set(e, 5, mark="<other>")),
    ("ends_as_its_code_did", lambda e, _: _set(e, 5, block=("x", "", 1))),
    ("ends_as_its_code_did", lambda e, _: _set(e, 22, status="FAILED")),
    ("ends_as_its_code_did", lambda e, _: _set(e, 22, mark="<other>")),
    ("ends_as_its_code_did", lambda _, d: setattr(d[1], "over", None)),
    ("ends_as_its_code_did", lambda _, d: d.pop(1)),
    ("reported_once", lambda e, _: e.append(e[4])),
    ("reported_once", lambda e, _: _set(e, 21, mark="<c>")),
    ("reported_once", lambda _, d: _begin(d[1], D, 3, 119.6)),
    ("nothing_lost", lambda e, _: _set(e, 16, block_status="RUNNING", mark="")),
    ("nothing_lost", lambda e, _: _set(e, 11, block_status="RUNNING")),
    ("nothing_lost", lambda _, d: d[0].ended.reverse()),
    ("nothing_lost", lambda _, d: _begin(d[1], ("x", "", 1), 3, 120.5)),
    ("starts_under_a_lease", lambda _, d: _begin(d[0], ("x", "", 1), 1, 106.5)),
    ("starts_under_a_lease", lambda _, d: _begin(d[0], ("x", "", 1), 2, 112.5)),
    ("starts_under_a_lease", lambda _, d: _begin(d[1], ("x", "", 1), 3, 112.9)),
    ("starts_under_a_lease", lambda _, d: _begin(d[1], ("x", "", 1), 4, 120.5)),
    ("one_driver", lambda _, d: d.append(replace(d[1], life="q.2"))),
    ("one_driver", lambda e, _: _set(e, 13, executor="three")),
    ("one_driver", lambda _, d: _begin(d[0], ("x", "", 1), 2, 114.0)),
    ("one_driver", lambda _, d: _begin(d[0], ("x", "", 1), 4, 120.5)),
    ("not_done_again", lambda _, d: _begin(d[1], ("a", "", 2), 3, 120.5)),
    ("stands_while_paused", lambda _, d: _begin(d[1], ("x", "", 1), 3, 117.5)),
    ("signals_heard_in_order", lambda _, d: d[0].heard.append("look")),
    ("signals_heard_in_order", lambda _, d: d[0].heard.append("none")),
    ("signals_heard_in_order", lambda _, d: d[1].heard.insert(0, "look")),
    ("nothing_stuck", lambda e, _: e.pop()),
]


def test_a_good_story_is_found_good() -> None:
    assert executor_checker.check([_story()]) == {}
    done = executor_checker.counts([_story()])
    assert (done["drives"], done["taken back"], done["taken up again"]) == (2, 1, 1)


@pytest.mark.parametrize(("name", "spoil"), WRONG)
def test_a_bad_story_is_found(
    name: str, spoil: Callable[[list[Event], list[Drive]], object]
) -> None:
    assert f"executor {name}" in executor_checker.check([_story(spoil)])


def test_whoever_is_killed_or_has_lost_its_lease_may_owe_the_rest() -> None:
    def killed(events: list[Event], drives: list[Drive]) -> None:
        drives[0].over = None
        events[10:12] = [replace(events[11], actor="")]

    assert executor_checker.check([_story(killed)]) == {}

    def with_a_hole(events: list[Event], drives: list[Drive]) -> None:
        killed(events, drives)
        del events[4]

    assert "executor nothing_lost" in executor_checker.check([_story(with_a_hole)])


def test_what_is_released_before_any_code_began_is_no_earlier_codes() -> None:
    def released_at_once(events: list[Event], drives: list[Drive]) -> None:
        _set(events, 11, block=None, block_status="", status="INTERRUPTED", actor="")
        _set(events, 12, epoch=3, status="RUNNING")
        events[12:] = [replace(event, epoch=4) for event in events[12:]]
        released = replace(events[11], epoch=3, status="INTERRUPTED", at=112.5)
        events.insert(12, released)
        drives[1].epoch = 4
        drives[1].begun = [replace(begun, epoch=4) for begun in drives[1].begun]
        assert drives[1].over is not None
        drives[1].over.epoch = 4

    def in_a_next_life(events: list[Event], drives: list[Drive]) -> None:
        released_at_once(events, drives)
        drives[0].gone = 111.5

    def after_another(events: list[Event], drives: list[Drive]) -> None:
        released_at_once(events, drives)
        events[11:13] = [replace(event, epoch=4) for event in events[11:13]]
        events.insert(11, replace(events[11], epoch=3, actor="three", executor="three"))
        events[14:] = [replace(event, epoch=5) for event in events[14:]]
        drives[1].epoch = 5
        drives[1].begun = [replace(begun, epoch=5) for begun in drives[1].begun]
        assert drives[1].over is not None
        drives[1].over.epoch = 5

    assert "executor nothing_lost" in executor_checker.check([_story(released_at_once)])
    assert executor_checker.check([_story(in_a_next_life)]) == {}
    assert executor_checker.check([_story(after_another)]) == {}


def test_what_others_left_open_may_be_canceled() -> None:
    def taken_up(events: list[Event], drives: list[Drive]) -> None:
        drives[0].over, drives[0].ended[-1].status = None, "SUCCEEDED"
        left, released = events[10:12]
        taken = replace(events[12], seq=12)
        closed = replace(left, seq=13, actor="two", epoch=3, executor="two")
        events[10:13] = [replace(released, actor="", seq=11), taken, closed]

    assert executor_checker.check([_story(taken_up)]) == {}

    def wrongly(events: list[Event], drives: list[Drive]) -> None:
        taken_up(events, drives)
        _set(events, 13, block=A)

    assert "executor ends_as_its_code_did" in executor_checker.check([_story(wrongly)])


def test_a_block_that_a_retry_copied_is_of_who_begins_it() -> None:
    def copied(events: list[Event], _: list[Drive]) -> None:
        events.insert(1, replace(events[0], status="", block=B2, block_status="PENDING"))

    assert executor_checker.check([_story(copied)]) == {}

    def lost(events: list[Event], drives: list[Drive]) -> None:
        _set(events, 11, block_status="RUNNING")
        copied(events, drives)

    assert "executor nothing_lost" in executor_checker.check([_story(lost)])


def test_what_the_end_of_a_run_closes_was_nobodys_decision() -> None:
    def forced(events: list[Event], drives: list[Drive]) -> None:
        _set(events, 21, block_status="CANCELED", mark="", closing=True)
        _set(events, 22, status="CANCELED", mark="", actor="wms")

    assert executor_checker.check([_story(forced)]) == {}


def test_one_start_may_be_frozen_between_the_look_and_the_first_line() -> None:
    def thawed(asked: float) -> Story:
        def late(_: list[Event], drives: list[Drive]) -> None:
            drives[0].begun[1] = Begun(B, 1, asked, 107.6, 107.6)

        return _story(late)

    assert executor_checker.check([thawed(105.598)]) == {}
    for asked in (105.0, 107.55):
        assert "executor starts_under_a_lease" in executor_checker.check([thawed(asked)])


def test_a_journal_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "p.1.journal"
    journal = Journal(path)
    number = journal.drive("one", "run", 1)
    mark = journal.mark()
    journal.begun(number, A, 1, 1.0)
    journal.heard(number, "look")
    journal.ended(number, A, "FAILED", mark_in(f"broken {mark}"))
    journal.over(number, 2, "FAILED", mark, "")
    (drive,) = read(path)
    (begun,) = drive.begun
    assert (drive.life, drive.executor, drive.run, drive.epochs) == ("p.1", "one", "run", {1, 2})
    assert (begun.key, begun.epoch, begun.asked) == (A, 1, 1.0)
    assert drive.at <= begun.at
    assert drive.ended == [Ended(A, "FAILED", mark)]
    assert drive.heard == ["look"]
    assert drive.over == Over(2, "FAILED", mark, "")
