"""Retention's settings: what they come to, and which days are no length of time."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from vwed_grpc.domain.retention import LONGEST_DAYS, Retention, of_tenant


@pytest.mark.parametrize("name", ["runs_days", "events_days"])
@pytest.mark.parametrize("days", [0, -1, float("inf"), float("nan"), 1e9, LONGEST_DAYS + 1])
def test_days_that_are_no_length_of_time(name: str, days: float) -> None:
    with pytest.raises(ValidationError):
        Retention(**{name: days})


def test_the_longest_leads_to_a_time() -> None:
    kept = Retention(runs_days=LONGEST_DAYS).runs
    assert kept is not None
    assert datetime.now(UTC) - kept > datetime(1000, 1, 1, tzinfo=UTC)


def test_events_go_with_their_runs_unless_said() -> None:
    day = timedelta(days=1)
    for rule, runs, events in (
        (Retention(), None, None),
        (Retention(runs_days=3), 3 * day, 3 * day),
        (Retention(runs_days=3, events_days=0.5), 3 * day, day / 2),
        (Retention(events_days=2), None, 2 * day),
    ):
        assert (rule.runs, rule.events) == (runs, events)


def test_a_tenants_own_rule_comes_before_that_of_all() -> None:
    all_, own = Retention(runs_days=90), Retention()
    rules = {"*": all_, "a": own}
    assert of_tenant(rules, "a") is own
    assert of_tenant(rules, "b") is all_
    assert of_tenant({"a": all_}, "b") == Retention()
