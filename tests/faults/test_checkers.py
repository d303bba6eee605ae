"""The checkers on logs made by hand: content with what is right, and red for each thing wrong."""

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.faults import checker, feed_checker, promises
from tests.faults.checker import Arrival, Stream, WatchLog
from tests.faults.feed_checker import FeedLog, FeedStream, Seen
from tests.faults.fleet import BlockTold, RunTold, Told
from tests.faults.history import Stored
from tests.faults.weather import Weather
from vwed_grpc.storage.events import Kind

pytestmark = pytest.mark.bites

GROUPS = [1, 2, 5, 5, 5, 8, 8, 8, 9, 11, 11]
"""The last seq of the report or transition to which each event belongs."""


def _stored(seq: int) -> Stored:
    block = seq in range(3, 9) or seq == 10
    kind = Kind.BLOCK if block else Kind.FINISHED if seq == 11 else Kind.RUN
    return Stored(
        seq=seq,
        group_seq=GROUPS[seq - 1],
        kind=Kind.SIGNAL if seq == 9 else kind,
        committed=100.0 + seq,
        basic=seq,
        full=seq,
        size=10,
        block=(f"b{seq % 3}", "", 1, 2, f"m{seq}") if block else None,
        state=seq,
        status=0 if block else 2,
        etag="" if block else f"e{seq}",
        signal="look" if seq == 9 else "",
    )


HISTORY = [_stored(seq) for seq in range(1, 12)]


def _arrival(*seqs: int) -> Arrival:
    return Arrival(100.01 + max(seqs), [*seqs], [*seqs], 100)


def _log() -> WatchLog:
    """Two connections, the second of which resumes; bookmarks in between."""
    first = Stream(
        0,
        102.5,
        [
            Arrival(102.6, [1, 2], [1, 2], 100),
            _arrival(3, 4, 5),
            Arrival(106.5, [], [], 2, bookmark=5),
        ],
        106.6,
        "LEFT",
    )
    second = Stream(5, 106.7, [_arrival(6, 7, 8), _arrival(9), _arrival(10, 11)], 111.1, "OK")
    return WatchLog("watcher", "run", full=False, bookmark=2.0, streams=[first, second])


def _snapshot() -> WatchLog:
    states = [
        Arrival(106.1, [2, 3], [0, 0], 100, snapshot=True),
        Arrival(106.2, [4, 5], [0, 0], 100, snapshot=True, bookmark=5),
    ]
    changes = [_arrival(6, 7, 8), _arrival(9), _arrival(10, 11)]
    stream = Stream(None, 106.0, [*states, *changes], 111.1, "OK")
    return WatchLog("watcher", "run", full=False, bookmark=2.0, streams=[stream])


def _arrivals(log: WatchLog, stream: int = 1) -> list[Arrival]:
    return log.streams[stream].arrivals


def _swap(log: WatchLog) -> None:
    a, b, c = _arrivals(log)
    log.streams[1].arrivals = [replace(b, at=a.at), replace(a, at=b.at), c]


def _split(log: WatchLog) -> None:
    a, *rest = _arrivals(log)
    first = replace(a, seqs=[6], digests=[6], more=True)
    log.streams[1].arrivals = [first, replace(a, seqs=[7, 8], digests=[7, 8]), *rest]


def _silently_cut(log: WatchLog) -> None:
    a, *rest = _arrivals(log)
    log.streams[1].arrivals = [replace(a, seqs=[6], digests=[6]), _arrival(7, 8), *rest]


def _never_arrive(log: WatchLog) -> None:
    del log.streams[0].arrivals[1]
    log.streams[0].closed = 120.0


WRONG: list[tuple[str, Callable[[WatchLog], object]]] = [
    ("ordered", _swap),
    ("unique", lambda log: _arrivals(log).insert(1, copy.deepcopy(_arrivals(log)[0]))),
    ("reliable", lambda log: _arrivals(log).pop(1)),
    ("reliable", lambda log: _arrivals(log)[1].digests.__setitem__(0, 1)),
    ("reliable", lambda log: setattr(_arrivals(log)[1], "at", 108.0)),
    ("resumable", lambda log: setattr(log.streams[1], "after_seq", 4)),
    ("resumable", lambda log: _arrivals(log).pop()),
    ("resumable", lambda log: setattr(log.streams[0], "ending", "OUT_OF_RANGE")),
    ("contiguous", _split),
    ("contiguous", _silently_cut),
    ("contiguous", lambda log: setattr(_arrivals(log)[0], "more", True)),
    ("bookmarked", lambda log: setattr(_arrivals(log, 0)[2], "bookmark", 6)),
    ("bookmarked", lambda log: setattr(log, "bookmark", 0.1)),
    ("bounded", lambda log: setattr(_arrivals(log)[0], "size", 4 << 20)),
    ("bounded", lambda log: setattr(log.streams[0], "ending", "RESOURCE_EXHAUSTED")),
    ("prompt", lambda log: setattr(_arrivals(log)[2], "at", 118.0)),
    ("prompt", _never_arrive),
]


@pytest.mark.parametrize("log", [_log(), _snapshot()])
def test_a_good_watch_is_found_good(log: WatchLog) -> None:
    assert checker.check(log, HISTORY, Weather()) == {}


@pytest.mark.parametrize(("name", "spoil"), WRONG)
def test_a_bad_watch_is_found(name: str, spoil: Callable[[WatchLog], object]) -> None:
    log = _log()
    spoil(log)
    assert name in checker.check(log, HISTORY, Weather())


def test_a_state_that_is_missing_is_found() -> None:
    log = _snapshot()
    del _arrivals(log, 0)[0].seqs[1], _arrivals(log, 0)[0].digests[1]
    # Block 0 has changed since, so it may have dropped out; that of seq 4 is missed if it has not.
    assert checker.check(log, HISTORY, Weather()) == {}
    unchanged = [e for e in HISTORY if not (e.block and e.block[0] == "b0" and e.seq > 5)]
    assert "reliable" in checker.check(log, unchanged, Weather())


def test_redis_away_asks_for_more_promptness() -> None:
    log, weather = _log(), Weather(redis_away=[(100.0, 120.0)])
    _arrivals(log)[2].at = log.streams[1].closed = 114.5
    assert "prompt" not in checker.check(log, HISTORY, Weather())
    assert "prompt" in checker.check(log, HISTORY, weather)


def _feed() -> FeedLog:
    seen = [Seen("run", 2, 0, 102.2, snapshot=True, upto=2)]
    seen += [Seen("run", e.seq, e.seq, e.committed + 0.1, snapshot=False) for e in HISTORY[2:]]
    return FeedLog(
        "feed",
        blocks=True,
        full=False,
        streams=[
            FeedStream(resumed=False, opened=102.1, seen=seen[:5], ending="LEFT"),
            FeedStream(resumed=True, opened=106.6, seen=seen[4:], ending="LEFT"),
        ],
    )


WRONG_FEEDS: list[tuple[str, Callable[[FeedLog], object]]] = [
    ("feed whole", lambda log: log.streams[1].seen.pop()),
    ("feed true", lambda log: setattr(log.streams[1].seen[-1], "digest", 1)),
    ("feed true", lambda log: setattr(log.streams[1].seen[-1], "seq", 12)),
    ("feed ordered", lambda log: log.streams[0].seen.reverse()),
    ("feed ordered", lambda log: log.streams[0].seen.append(log.streams[0].seen[-1])),
    ("feed resumable", lambda log: setattr(log.streams[0], "ending", "OUT_OF_RANGE")),
    ("feed prompt", lambda log: setattr(log.streams[1].seen[-1], "at", 120.0)),
]


def test_a_good_feed_is_found_good() -> None:
    assert feed_checker.check(_feed(), {"run": HISTORY}, Weather()) == {}


@pytest.mark.parametrize(("name", "spoil"), WRONG_FEEDS)
def test_a_bad_feed_is_found(name: str, spoil: Callable[[FeedLog], object]) -> None:
    log = _feed()
    spoil(log)
    assert name in feed_checker.check(log, {"run": HISTORY}, Weather())


def test_blocks_that_change_while_they_are_read_are_told_by_their_changes() -> None:
    """The run was read up to 5; its blocks changed again, by 6, 7 and 8, before they were."""
    log = _feed()
    log.streams[0].seen[0].at, log.streams[0].seen[0].upto = 105.5, 5
    del log.streams[0].seen[1:4]
    log.streams[1].opened = 107.0
    assert feed_checker.check(log, {"run": HISTORY}, Weather()) == {}
    log.streams[0].seen[0].upto = 4
    assert "feed whole" in feed_checker.check(log, {"run": HISTORY}, Weather())


def test_a_feed_begins_with_the_connection_that_brought_a_token() -> None:
    log, gone = _feed(), [replace(HISTORY[0], committed=101.0)]
    log.streams.insert(0, FeedStream(resumed=False, opened=100.0, ending="BROKEN"))
    assert feed_checker.check(log, {"run": HISTORY, "gone": gone}, Weather()) == {}
    log.streams[0].opened, log.streams[1].resumed = 100.0, True
    assert "feed whole" in feed_checker.check(log, {"run": HISTORY, "gone": gone}, Weather())


def test_a_run_that_ended_before_the_open_ones_were_told_is_none_of_them() -> None:
    log, ended = _feed(), [replace(event, committed=102.15) for event in HISTORY]
    assert "feed whole" in feed_checker.check(log, {"run": HISTORY, "ended": ended}, Weather())
    log.streams[0].present = 102.2
    assert feed_checker.check(log, {"run": HISTORY, "ended": ended}, Weather()) == {}
    open_ = ended[:-1]
    assert "feed whole" in feed_checker.check(log, {"run": HISTORY, "open": open_}, Weather())


def test_progress_that_comes_too_often_is_found() -> None:
    log = _feed()
    log.blocks = False
    at_once = [replace(event, committed=103.0) for event in HISTORY]
    for seconds, too_often in ((0.9, True), (3.5, False)):
        for number, seen in enumerate(log.streams[0].seen):
            seen.at = 103 + seconds * number / len(log.streams[0].seen)
        found = feed_checker.check(log, {"run": at_once}, Weather())
        assert ("feed seldom" in found) is too_often


BLOCK = ("b0", "", 1, 2, "m3")

BROKEN: list[tuple[str, Told, list[Stored]]] = [
    ("reports_kept", Told(blocks=[BlockTold("run", 4, BLOCK)]), HISTORY),
    ("reports_kept", Told(blocks=[BlockTold("run", 12, BLOCK)]), HISTORY),
    ("transitions_kept", Told(runs=[RunTold("run", 6, 3, "e2")]), HISTORY),
    ("transitions_kept", Told(runs=[RunTold("gone", 1, 1, "e1")]), HISTORY),
    ("reported_once", Told(), [*HISTORY[:5], replace(HISTORY[5], block=BLOCK), *HISTORY[6:]]),
    ("signaled_once", Told(signals=[("run", "hear")]), HISTORY),
    ("signaled_once", Told(), [*HISTORY, replace(HISTORY[8], seq=12, group_seq=12)]),
    ("gapless", Told(), [*HISTORY[:4], *HISTORY[5:]]),
    ("gapless", Told(), [*HISTORY[:3], replace(HISTORY[3], group_seq=8), *HISTORY[4:]]),
]


def test_kept_promises_are_found_kept() -> None:
    told = Told(
        blocks=[BlockTold("run", 3, BLOCK)],
        runs=[RunTold("run", 6, 2, "e2"), RunTold("run", 11, 2, "e11")],
        signals=[("run", "look")],
    )
    assert promises.check(told, {"run": HISTORY}) == {}


@pytest.mark.parametrize(("name", "told", "history"), BROKEN)
def test_a_broken_promise_is_found(name: str, told: Told, history: list[Stored]) -> None:
    assert name in promises.check(told, {"run": history})
