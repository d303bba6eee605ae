"""What a transaction says it has changed: all of it, however many calls share the commit."""

import pytest

from vwed_grpc.cache.keys import GENERATION, KeySpace
from vwed_grpc.storage.events import Event, Kind
from vwed_grpc.watching.news import News
from vwed_grpc.writes.commit import Effects


@pytest.fixture
def effects() -> Effects:
    return Effects(KeySpace(GENERATION, "test"), xact=7)


def event(seq: int) -> Event:
    return Event(seq, seq, Kind.RUN, b"", None)


def test_each_entry_that_changed_is_stale(effects: Effects) -> None:
    effects.entries_changed("t", "r1", ["a", "b:c"])
    effects.entries_changed("t", "r2", ["a"])
    keys = [("r1", "a"), ("r1", "b:c"), ("r2", "a")]
    assert effects.stale == [effects.keys.key("data_cache", "t", run, key) for run, key in keys]


def test_each_run_that_changed_is_stale_and_told_to_its_tenant(effects: Effects) -> None:
    effects.run_changed("t", "r1", [event(3), event(4)], "amr-1")
    effects.run_changed("t", "r2")
    effects.run_changed("other", "r1", [event(1)])
    effects.run_changed_much("t", "r3", 900)
    changed = [("t", "r1"), ("t", "r2"), ("other", "r1"), ("t", "r3")]
    assert effects.stale == [effects.keys.key("task_record", *each) for each in changed]
    assert effects.news == {
        "t": [News("r1", 4, [event(3), event(4)], "amr-1", 7), News("r3", 900, ())],
        "other": [News("r1", 1, [event(1)], None, 7)],
    }
