"""Retention's settings: what no time can be reckoned with is refused where it is set."""

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from vwed_grpc.domain.retention import LONGEST_DAYS, Retention


@pytest.mark.parametrize("name", ["runs_days", "events_days"])
@pytest.mark.parametrize("days", [0, -1, float("inf"), float("nan"), 1e9, LONGEST_DAYS + 1])
def test_days_that_are_no_length_of_time(name: str, days: float) -> None:
    with pytest.raises(ValidationError):
        Retention(**{name: days})


def test_the_longest_leads_to_a_time() -> None:
    kept = Retention(runs_days=LONGEST_DAYS).runs
    assert kept is not None
    assert datetime.now(UTC) - kept > datetime(1000, 1, 1, tzinfo=UTC)
