"""The newest events of a watched run: contiguous, bounded, shared."""

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vwed.v1.record_service_pb2 import WatchTaskRecordResponse
from vwed.v1.task_record_event_pb2 import TaskRecordEvent

from tests.support.waiting import PATIENCE
from vwed_grpc.storage.events import Event, Kind
from vwed_grpc.watching import topic as module
from vwed_grpc.watching.sleep import Sleep
from vwed_grpc.watching.topic import MAX_BYTES, MAX_EVENTS, Topic


def events(*seqs: int, size: int = 0) -> list[Event]:
    return [
        Event(seq, seq, Kind.BLOCK, TaskRecordEvent(seq=seq, actor=text).SerializeToString(), None)
        for seq, text in ((seq, "x" * size) for seq in seqs)
    ]


def held(topic: Topic, after: int) -> list[int] | None:
    """The seqs that a watcher who stands at `after` would be sent; None: not held."""
    found = topic.after(after, full=False)
    if found is None:
        return None
    parsed = [WatchTaskRecordResponse.FromString(m) for m in found.messages]
    seqs = [e.seq for message in parsed for e in message.events]
    assert found.end == seqs[-1]
    return seqs


@pytest.fixture
def topic() -> Topic:
    """A run that was at 10 when the first watcher came."""
    topic = Topic()
    topic.begin(10)
    return topic


def test_it_holds_what_follows_the_beginning(topic: Topic) -> None:
    topic.extend(events(11, 12))
    topic.extend(events(13))
    assert held(topic, 10) == [11, 12, 13]
    assert held(topic, 12) == [13]
    assert held(topic, 13) is None
    assert held(topic, 9) is None
    assert (topic.end, topic.newest) == (13, 13)


def test_what_is_known_is_passed_over(topic: Topic) -> None:
    topic.extend(events(11, 12))
    topic.extend(events(9, 10, 11, 12))
    topic.extend(events(12, 13))
    assert held(topic, 10) == [11, 12, 13]


def test_what_leaves_a_gap_is_learned_and_not_held(topic: Topic) -> None:
    topic.extend(events(11))
    topic.extend(events(13, 14))
    assert held(topic, 10) == [11]
    assert (topic.end, topic.newest) == (11, 14)
    topic.extend(events(12, 13, 14))
    assert held(topic, 10) == [11, 12, 13, 14]


def test_before_it_begins_events_are_learned_and_not_held() -> None:
    topic = Topic()
    topic.extend(events(5))
    assert (topic.end, topic.newest) == (-1, 5)
    topic.begin(4)
    assert (topic.end, topic.newest) == (4, 5)
    topic.begin(9)
    assert (topic.end, topic.newest) == (4, 9)


@given(st.lists(st.lists(st.integers(1, 30), min_size=1, max_size=4, unique=True).map(sorted)))
def test_whatever_comes_in_whatever_order_it_never_skips(heard: list[list[int]]) -> None:
    topic = Topic()
    topic.begin(0)
    for seqs in heard:
        # Events of one commit are adjacent.
        topic.extend(events(*range(seqs[0], seqs[-1] + 1)))
        told = held(topic, 0)
        assert told is None or told == list(range(1, topic.end + 1))
    assert topic.newest == max((seqs[-1] for seqs in heard), default=0)


def test_it_is_bounded_by_events(topic: Topic) -> None:
    topic.extend(events(*range(11, 11 + MAX_EVENTS + 5)))
    assert held(topic, 14) is None
    assert held(topic, 15) == list(range(16, 11 + MAX_EVENTS + 5))


def test_it_is_bounded_by_bytes(topic: Topic) -> None:
    topic.extend(events(*range(11, 20), size=MAX_BYTES // 4))
    assert held(topic, 15) is None
    assert held(topic, 16) == [17, 18, 19]
    topic.extend(events(20, size=MAX_BYTES))
    assert held(topic, 19) is None  # too large to be held: it is read from the log
    assert (topic.end, topic.newest) == (20, 20)
    topic.extend(events(21))
    assert held(topic, 20) == [21]


def test_what_is_old_goes(topic: Topic, monkeypatch: pytest.MonkeyPatch) -> None:
    topic.extend(events(11))
    topic.trim()
    assert held(topic, 10) == [11]
    monkeypatch.setattr(module, "KEPT_SECONDS", -1)
    topic.trim()
    assert held(topic, 10) is None
    topic.extend(events(12))
    assert held(topic, 11) == [12]


def test_what_is_gone_is_passed_over(topic: Topic) -> None:
    topic.extend(events(11))
    topic.learn(15)
    topic.pass_over(15)
    assert (topic.end, topic.newest) == (15, 15)
    assert held(topic, 10) is None  # the log says why
    topic.extend(events(16))
    assert held(topic, 15) == [16]


def test_watchers_at_one_place_share_one_batch(topic: Topic) -> None:
    topic.extend(events(11))
    first = topic.after(10, full=False)
    assert topic.after(10, full=False) is first
    assert topic.after(10, full=True) is not first
    topic.extend(events(12))
    assert held(topic, 10) == [11, 12]


async def asleep(sleep: Sleep, seconds: float) -> float:
    """Sleeps at most so long; how long it was."""
    now = asyncio.get_running_loop().time
    began = now()
    await sleep.until(began + seconds)
    return now() - began


@pytest.mark.parametrize(
    "act",
    [
        lambda topic: topic.extend(events(11)),
        lambda topic: topic.learn(15),
        lambda topic: topic.pass_over(15),
    ],
    ids=["extend", "learn", "pass_over"],
)
async def test_a_change_wakes_whoever_waits(topic: Topic, act: Callable[[Topic], None]) -> None:
    with topic.sleepers.one() as one, topic.sleepers.one() as other:
        waiting = [asyncio.create_task(asleep(sleep, PATIENCE)) for sleep in (one, other)]
        await asyncio.sleep(0)
        act(topic)
        assert all(seconds < PATIENCE for seconds in await asyncio.gather(*waiting))


async def test_nothing_new_wakes_nobody(topic: Topic) -> None:
    topic.extend(events(11))
    with topic.sleepers.one() as sleep:
        waiting = asyncio.create_task(asleep(sleep, 0.05))
        await asyncio.sleep(0)
        topic.learn(11)
        topic.extend(events(11))
        assert await waiting >= 0.04
