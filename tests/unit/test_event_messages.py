"""How events travel: in messages to watchers, and as news to other replicas."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vwed.v1.block_record_pb2 import BlockRecord
from vwed.v1.record_service_pb2 import WatchTaskRecordResponse
from vwed.v1.task_record_event_pb2 import TaskRecordEvent

from vwed_grpc.domain.wire_format import field
from vwed_grpc.storage.events import Event, Kind
from vwed_grpc.watching import events, news
from vwed_grpc.watching.events import batch, messages
from vwed_grpc.watching.news import News, pack, unpack

LIMIT = 500
"""Of a message here, so that small events are enough."""


@pytest.fixture(scope="module", autouse=True)
def _small_messages() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(events, "MAX_MESSAGE_BYTES", LIMIT)
        patch.setattr(news, "MAX_BYTES", 4 * LIMIT)
        patch.setattr(news, "MAX_COMMIT_BYTES", 100 * LIMIT)
        yield


def event(
    seq: int, group_seq: int, size: int = 20, payload: int = 0, kind: Kind = Kind.BLOCK
) -> Event:
    """An event of about `size` bytes, and so many more in VIEW_FULL."""
    told = TaskRecordEvent(task_record_id="r", seq=seq, actor="x" * size)
    told.block_record.SetInParent()
    more = TaskRecordEvent(block_record=BlockRecord(message="y" * payload))
    return Event(
        seq,
        group_seq,
        kind,
        told.SerializeToString(),
        more.SerializeToString() if payload else None,
    )


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Groups of events one after the other; the first one may have begun before."""
    seq = draw(st.integers(0, 1000))
    found: list[Event] = []
    for size in draw(st.lists(st.integers(1, 6), min_size=1, max_size=6)):
        group_seq = seq + size
        while seq < group_seq:
            seq += 1
            found.append(
                event(seq, group_seq, draw(st.integers(0, 250)), draw(st.integers(0, 400)))
            )
    return found[draw(st.integers(0, len(found) - 1)) :]


def size_in_message(of: Event, *, full: bool) -> int:
    return len(field(1, of.body(full=full)))


@given(histories(), st.booleans())
def test_messages_hold_every_event_once_and_in_order(history: list[Event], full: bool) -> None:
    parsed = [WatchTaskRecordResponse.FromString(m) for m in messages(history, full=full)]
    told = [e for message in parsed for e in message.events]
    assert told == [TaskRecordEvent.FromString(e.body(full=full)) for e in history]
    assert all(message.events for message in parsed)


@given(histories(), st.booleans())
def test_messages_are_bounded_and_keep_groups_together(history: list[Event], full: bool) -> None:
    sizes: dict[int, int] = {}
    for e in history:
        sizes[e.group_seq] = sizes.get(e.group_seq, 0) + size_in_message(e, full=full)
    groups = {e.seq: e.group_seq for e in history}
    for data in messages(history, full=full):
        message = WatchTaskRecordResponse.FromString(data)
        seqs = [e.seq for e in message.events]
        without_more = WatchTaskRecordResponse(events=message.events).SerializeToString()
        assert len(without_more) <= LIMIT or len(seqs) == 1
        # `more` is said exactly where a message ends within a group, and only large ones are cut.
        assert message.more == (seqs[-1] != groups[seqs[-1]])
        assert not message.more or sizes[groups[seqs[-1]]] > LIMIT


def test_small_groups_share_a_message() -> None:
    history = [event(1, 1), event(2, 3), event(3, 3), event(4, 4)]
    assert len(messages(history, full=False)) == 1


def test_a_message_ends_between_groups_where_it_can() -> None:
    history = [event(1, 1, 200), event(2, 3, 200), event(3, 3, 200)]
    sent = [WatchTaskRecordResponse.FromString(m) for m in messages(history, full=False)]
    assert [([e.seq for e in m.events], m.more) for m in sent] == [([1], False), ([2, 3], False)]


def test_a_group_that_is_too_large_is_cut_with_more() -> None:
    history = [event(1, 4, 300), event(2, 4, 300), event(3, 4, 100), event(4, 4, 300)]
    sent = [WatchTaskRecordResponse.FromString(m) for m in messages(history, full=False)]
    assert [([e.seq for e in m.events], m.more) for m in sent] == [
        ([1], True),
        ([2, 3], True),
        ([4], False),
    ]


def test_a_group_that_goes_on_after_what_was_read_says_more() -> None:
    (sent,) = messages([event(1, 3), event(2, 3)], full=False)
    assert WatchTaskRecordResponse.FromString(sent).more


def test_full_has_the_payload_and_basic_leaves_it_out() -> None:
    one = event(1, 1, payload=10)
    for full in (False, True):
        (sent,) = messages([one], full=full)
        (told,) = WatchTaskRecordResponse.FromString(sent).events
        assert (told.seq, told.block_record.message) == (1, "y" * 10 if full else "")


@pytest.mark.parametrize(
    ("kind", "told", "end"),
    [
        (Kind.RUN, [1, 2, 3, 4], 4),
        (Kind.FINISHED, [1, 2, 3], 3),
        (Kind.DELETED, [1, 2], 3),
    ],
)
def test_a_batch_ends_with_the_run(kind: Kind, told: list[int], end: int) -> None:
    made = batch([event(1, 1), event(2, 2), event(3, 3, kind=kind), event(4, 4)], full=False)
    parsed = [WatchTaskRecordResponse.FromString(m) for m in made.messages]
    assert [e.seq for message in parsed for e in message.events] == told
    assert made.end == end
    assert made.closed_by == (None if kind == Kind.RUN else kind)


def from_elsewhere(news: list[News]) -> list[News]:
    """What another process makes of it."""
    packed = pack(b"process1", news)
    assert not list(unpack(packed, own=b"process1")), "a process has no need of its own news"
    return [heard.unpacked() for heard in unpack(packed, own=b"process2")]


@given(st.lists(histories(), min_size=1, max_size=4))
def test_news_bring_back_what_was_packed(each: list[list[Event]]) -> None:
    told = [
        News(f"löp-{n}", events[-1].seq, events, [None, "", "r7"][n % 3])
        for n, events in enumerate(each)
    ]
    for before, after in zip(told, from_elsewhere(told), strict=True):
        size = sum(len(e.event) + len(e.payload or b"") for e in before.events)
        assert after == (before if size <= 4 * LIMIT else replace(before, events=[]))


def test_an_empty_payload_is_not_none() -> None:
    events = [Event(7, 7, Kind.SIGNAL, b"", b""), Event(8, 8, Kind.DELETED, b"e", None)]
    assert from_elsewhere([News("a", 8, events)]) == [News("a", 8, events)]


def test_a_commit_that_is_large_tells_of_its_last_runs_only_how_far_they_are() -> None:
    history = [Event(1, 1, Kind.BLOCK, b"x" * LIMIT, None)]
    told = from_elsewhere([News(str(n), 1, history) for n in range(120)])
    whole = [bool(one.events) for one in told]
    assert whole == [True] * whole.count(True) + [False] * whole.count(False)
    assert 90 < whole.count(True) < 100
    assert all(one.newest == 1 for one in told)
