"""A token of a watch of many runs, taken on the timeline of its own and on a later one."""

from datetime import UTC, datetime

import pytest

from vwed_grpc.domain.errors import OutOfRange
from vwed_grpc.storage.feed import Moment, Snapshot
from vwed_grpc.storage.incarnation import Beginning, Incarnation
from vwed_grpc.watching.resume import Place, ResumePoint

WATCH = b"of one watch"
OLD = Incarnation("1-1", 7, "a", 1, {1: Beginning(5, None)}, b"")
NEW = Incarnation("1-1", 7, "a", 2, {**OLD.beginnings, 2: Beginning(100, 1_000)}, b"")
AMID = Place(Snapshot(90, (80, 85)), Snapshot(95, (94,)), "run", 7)


def token(place: Place, lsn: int | None, *, in_snapshot: bool = False) -> str:
    """As a server on the old timeline gives it out."""
    moment = Moment(place.since, datetime(2026, 1, 1, tzinfo=UTC), lsn)
    return ResumePoint.at(place, moment, in_snapshot=in_snapshot).token(WATCH, OLD)


@pytest.mark.parametrize("lsn", [None, 1_001])
@pytest.mark.parametrize("in_snapshot", [False, True])
def test_on_its_own_timeline_it_says_what_it_said(lsn: int | None, *, in_snapshot: bool) -> None:
    point = ResumePoint.of(token(AMID, lsn, in_snapshot=in_snapshot), WATCH, OLD)
    assert (point.place, point.lsn, point.in_snapshot) == (AMID, lsn, in_snapshot)


@pytest.mark.parametrize(
    ("place", "goes_on"),
    [
        (Place(Snapshot(90)), 90),
        (Place(Snapshot(110)), 100),  # numbers that were given out again
        (Place(Snapshot(110, (95,))), 95),  # a transaction that was running
        (AMID, 80),  # of what is between two snapshots all is told again
    ],
)
def test_on_a_later_one_it_begins_before_all_that_may_be_otherwise(
    place: Place, goes_on: int
) -> None:
    point = ResumePoint.of(token(place, 1_000), WATCH, NEW)
    assert point.place == Place(Snapshot(goes_on))


@pytest.mark.parametrize(
    ("lsn", "in_snapshot"),
    [
        (1_001, False),  # beyond what the standby had
        (None, False),  # replication was not synchronous
        (1_000, True),  # the states were read later
    ],
)
def test_where_something_may_be_missing_it_is_refused(
    lsn: int | None, *, in_snapshot: bool
) -> None:
    with pytest.raises(OutOfRange) as refusal:
        ResumePoint.of(token(AMID, lsn, in_snapshot=in_snapshot), WATCH, NEW)
    assert refusal.value.reason == "RESUME_TOKEN_UNKNOWN"
