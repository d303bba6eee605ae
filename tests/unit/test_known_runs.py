"""What a reader of the log knows of runs: those that changed last, and each as it was left."""

import pytest
from vwed.v1.task_record_event_pb2 import TaskRecordEvent

from vwed_grpc.storage.events import Event, Kind
from vwed_grpc.storage.feed import Entry
from vwed_grpc.watching import known as module
from vwed_grpc.watching.known import KnownRuns


def entry(run: str, seq: int, kind: Kind = Kind.RUN) -> Entry:
    return Entry(
        run, Event(seq, seq, kind, TaskRecordEvent(seq=seq).SerializeToString(), None), None
    )


def test_the_runs_that_changed_last_stay_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_KNOWN", 2)
    known = KnownRuns()
    for run, seq in (("a", 1), ("b", 1), ("c", 1), ("a", 2)):
        list(known.changes(run, [entry(run, seq)]))
    known.trim()
    assert {run: known.seq(run) for run in "abc"} == {"a": 2, "b": None, "c": 1}
    known.trim()
    assert {run: known.seq(run) for run in "abc"} == {"a": 2, "b": None, "c": 1}


def test_a_run_that_is_gone_is_not_known() -> None:
    known = KnownRuns()
    list(known.changes("a", [entry("a", 1), entry("a", 2, Kind.DELETED)]))
    assert known.seq("a") is None
