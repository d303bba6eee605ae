"""What a soak judges by: content with what is right, and red for each thing wrong."""

import pytest
from vwed.v1.block_record_pb2 import BlockRecord
from vwed.v1.task_record_event_pb2 import TaskRecordEvent
from vwed.v1.task_record_pb2 import BlockCounts, TaskRecord

from tests.faults.errors_met import AFTERMATH, Befallen, Met, table, unexpected
from tests.faults.growth import Rule, Sample, growths
from tests.faults.growth import table as growth_table
from tests.faults.tally import Tally
from vwed_grpc.domain.blocks import FAILED, RUNNING, SUCCEEDED

pytestmark = pytest.mark.bites

SECONDS = 1_800.0
NAME = "worker 0", "memory"
RULES = {"memory": Rule("MiB", settles=180, floor=4)}


def _samples(*, a_minute: float = 0.0, start: float = 100.0) -> list[Sample]:
    """Every 5 s; what is read for a while is far above, as a large request makes it."""
    return [
        Sample(at, {NAME: start + a_minute * at / 60 + 50 * (at % 100 == 0)})
        for at in range(5, int(SECONDS) + 5, 5)
    ]


def _grows(samples: list[Sample], seconds: float = SECONDS) -> bool:
    (one,) = growths(samples, seconds, RULES)
    return one.too_much


def test_what_stays_as_it_is_is_found_good_and_what_grows_is_not() -> None:
    assert not _grows(_samples())
    assert not _grows(_samples(a_minute=-1))
    # From the middle of the first part to that of the last are 20 minutes.
    assert not _grows(_samples(a_minute=0.25))
    assert _grows(_samples(a_minute=0.3))


def test_what_is_small_may_grow_by_its_floor() -> None:
    assert not _grows(_samples(start=1, a_minute=0.19))
    assert _grows(_samples(start=1, a_minute=0.21))


def test_what_was_not_read_at_the_end_is_not_found_good() -> None:
    assert _grows([sample for sample in _samples() if sample.at < 1_000])


def test_growth_before_a_figure_has_settled_tells_nothing() -> None:
    short = [sample for sample in _samples(start=1, a_minute=100) if sample.at <= 180]
    assert not _grows(short, 180)
    assert "too early, it settles in 3 min" in growth_table(growths(short, 180, RULES), 180)


def test_the_table_names_what_has_grown() -> None:
    told = growth_table(growths(_samples(a_minute=1), SECONDS, RULES), SECONDS)
    assert "| of | what | 5 min to 10 min | 25 min to 30 min | growth |" in told
    assert "| worker 0 | memory | 108 MiB | 128 MiB | **+18.6%** |" in told


FROZEN = Befallen("freeze_postgres", 100.0, 103.0)
AWAY = "UNAVAILABLE STORE_UNAVAILABLE"


@pytest.mark.parametrize(
    ("at", "said", "expected"),
    [
        (101.0, AWAY, True),
        (103.0 + AFTERMATH, AWAY, True),
        (99.0, AWAY, False),
        (103.1 + AFTERMATH, AWAY, False),
        (101.0, "UNAVAILABLE", True),  # as the server's page has it
        (101.0, "INTERNAL", False),
        (101.0, "INTERNAL INTERNAL", False),
        (101.0, "UNAVAILABLE (the connection)", False),
        (500.0, "FAILED_PRECONDITION ILLEGAL_TRANSITION", True),
        (500.0, "NOT_FOUND TASK_RECORD_NOT_FOUND", False),
    ],
)
def test_an_error_is_good_while_something_explains_it(at: float, said: str, expected: bool) -> None:
    found = [*unexpected([Met(at, "GetTaskRecord", said)], [FROZEN])]
    assert (not found) is expected


def test_the_table_says_what_callers_were_told() -> None:
    told = table([Met(101.0, "a", AWAY), Met(102.0, "b", AWAY), Met(500.0, "c", AWAY)], [FROZEN])
    assert f"| freeze postgres | 1 | 2 {AWAY} |" in told
    assert "| stop redis | 1 | nothing |" in table([], [Befallen("stop_redis", 1.0, 2.0)])


def _report(seq: int, block: BlockRecord, progress: float, **counts: int) -> TaskRecordEvent:
    return TaskRecordEvent(
        seq=seq,
        block_record=block,
        progress=progress,
        block_counts=BlockCounts(total=2, **counts),
    )


def _told(*reports: TaskRecordEvent) -> list[str]:
    tally = Tally("run")
    created = TaskRecordEvent(
        seq=1, task_record=TaskRecord(), block_counts=BlockCounts(total=2), progress=0
    )
    return [wrong for event in (created, *reports) for wrong in tally.take(event)]


def test_counts_are_those_of_the_latest_attempts() -> None:
    first = BlockRecord(block_id="a", attempt=1, status=FAILED)
    again = BlockRecord(block_id="a", attempt=2, status=RUNNING)
    done = BlockRecord(block_id="a", attempt=2, status=SUCCEEDED)
    good = _report(2, first, 0.5, failed=1), _report(3, again, 0, running=1)
    assert not _told(*good, _report(4, done, 0.5, succeeded=1))
    assert _told(*good, _report(4, done, 0.5, succeeded=1, failed=1))
    assert _told(*good, _report(4, done, 0.0, succeeded=1))
    assert _told(good[0], _report(3, again, 0, failed=1))
