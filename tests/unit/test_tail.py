"""Whatever is heard, late, twice or never, each event is told once and in its order."""

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vwed.v1.task_record_event_pb2 import TaskRecordEvent
from vwed.v1.task_record_pb2 import TaskRecordFilter

from vwed_grpc.domain.errors import Unavailable
from vwed_grpc.storage.events import Event, Kind
from vwed_grpc.storage.feed import Entry, Moment, Snapshot, Stretch
from vwed_grpc.storage.incarnation import Incarnation
from vwed_grpc.watching import tail as module
from vwed_grpc.watching.feed import Feed, Request
from vwed_grpc.watching.news import News
from vwed_grpc.watching.reading import grouped
from vwed_grpc.watching.resume import Place
from vwed_grpc.watching.tail import Tail

if TYPE_CHECKING:
    from vwed_grpc.storage.pool import ReadingPool
    from vwed_grpc.watching.log import TailedLog

NOBODY = cast("ReadingPool", None)
"""Runs that are known from their first event on are not asked for."""
HERE = Incarnation("1-1", 7, "a", 1, {}, b"")
WATCH = Request(
    "t", TaskRecordFilter(), blocks=True, full=False, bookmark=9, fingerprint=b"", incarnation=HERE,
    kept=None,
)  # fmt: skip


def moment(number: int) -> Moment:
    return Moment(Snapshot(number), datetime(2026, 1, 1, tzinfo=UTC), None)


def group(first: int, last: int) -> list[Event]:
    """One report's or transition's."""
    return [
        Event(seq, last, Kind.RUN, TaskRecordEvent(seq=seq).SerializeToString(), None)
        for seq in range(first, last + 1)
    ]


def news(run: str, first: int, last: int, xact: int = 99) -> News:
    return News(run, last, group(first, last), xact=xact)


def begun() -> Tail:
    tail = Tail()
    tail.begin_reading()
    tail.end_reading(moment(1))
    return tail


def told(tail: Tail) -> list[tuple[str, int]]:
    chunks = [tail.chunk(n) for n in range(tail.first, tail.end)]
    return [(c.run, c.event.seq) for chunk in chunks if chunk is not None for c in chunk.changes]


async def read(tail: Tail, stretches: list[Stretch], number: int = 2) -> list[Stretch]:
    """A reading that finds these; answers what it had to read of them."""
    tail.begin_reading()
    untold = tail.untold(stretches)
    missing = tail.missing(untold)
    await tail.known.learn(NOBODY, "", {one.run: one.first for one in untold})
    entries = [Entry(m.run, e, None) for m in missing for e in group(m.first, m.last)]
    tail.tell_read(untold, grouped(entries))
    tail.end_reading(moment(number))
    return missing


async def test_what_joins_on_is_told_at_once() -> None:
    tail = begun()
    tail.hear(news("a", 1, 1))
    tail.hear(news("a", 2, 3))
    assert tail.tell_heard()
    assert told(tail) == [("a", 1), ("a", 2), ("a", 3)]
    assert await read(tail, [Stretch("a", 1, 3)]) == []
    tail.hear(news("a", 4, 4))
    assert tail.tell_heard()
    assert told(tail)[3:] == [("a", 4)]


async def test_a_gap_waits_for_the_reading_which_reads_it_alone() -> None:
    tail = begun()
    tail.hear(news("a", 1, 1))
    tail.hear(news("a", 4, 5))
    assert not tail.tell_heard()
    assert told(tail) == [("a", 1)]
    assert await read(tail, [Stretch("a", 1, 5)]) == [Stretch("a", 2, 3)]
    assert told(tail) == [("a", seq) for seq in range(1, 6)]
    assert tail.tell_heard()


async def test_what_is_heard_while_the_log_is_read_is_told_afterwards() -> None:
    tail = begun()
    tail.hear(news("a", 1, 1))
    tail.tell_heard()
    tail.begin_reading()
    tail.hear(news("a", 2, 2))
    assert tail.tell_heard()  # which the reading may have seen, or not
    tail.tell_read(tail.untold([Stretch("a", 1, 2)]), {})
    tail.end_reading(moment(2))
    assert await read(tail, [Stretch("a", 2, 2)], 3) == []
    assert told(tail) == [("a", 1), ("a", 2)]


async def test_a_run_that_nobody_knows_waits_for_the_reading() -> None:
    tail = begun()
    tail.hear(news("a", 7, 7))
    assert not tail.tell_heard()
    assert told(tail) == []


async def test_a_first_event_that_comes_late_is_not_told_again() -> None:
    """Whoever knew the run may have forgotten it, or began when it was there."""
    tail = begun()
    tail.hear(news("old", 1, 1, xact=0))
    tail.hear(news("new", 1, 1, xact=1))
    assert not tail.tell_heard()  # number 1 is not below the snapshot's
    assert told(tail) == [("new", 1)]
    await read(tail, [], number=2)
    tail.hear(news("newer", 1, 1, xact=1))
    assert not tail.tell_heard()
    assert told(tail) == [("new", 1)]


async def test_heads_alone_have_the_log_read() -> None:
    tail = begun()
    tail.hear(News("a", 3, []))
    assert not tail.tell_heard()
    assert await read(tail, [Stretch("a", 1, 3)]) == [Stretch("a", 1, 3)]
    tail.hear(News("a", 3, []))
    tail.begin_reading()
    assert tail.tell_heard()


async def test_a_mark_covers_what_was_told_before_its_reading_began() -> None:
    tail = begun()
    tail.hear(news("a", 1, 1))
    tail.tell_heard()
    tail.begin_reading()
    tail.hear(news("b", 1, 1))
    tail.tell_heard()
    tail.end_reading(moment(2))
    before, during = tail.chunk(0), tail.chunk(1)
    assert before is not None
    assert during is not None
    assert before.until <= tail.mark.number < during.until  # type: ignore[union-attr]  # it has one


async def test_a_mark_says_what_it_saw_of_what_was_told_meanwhile() -> None:
    tail = begun()
    tail.begin_reading()
    for one in (news("late", 1, 2), news("new", 1, 1)):
        tail.hear(one)
    tail.tell_heard()
    tail.end_reading(moment(2), [Stretch("late", 1, 2), Stretch("other", 1, 1)])
    assert tail.mark is not None
    assert tail.mark.seen == {"late": 2}


async def test_what_is_dropped_can_be_joined_from_a_later_mark_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "KEPT_BYTES", 1)
    tail = begun()
    tail.hear(news("a", 1, 1))
    tail.tell_heard()
    assert (tail.first, tail.end, tail.forgotten) == (1, 1, 2)
    assert tail.chunk(1) is None


async def test_what_is_kept_for_those_who_lag_is_bounded_in_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "KEPT_BYTES", 3 * group(1, 1)[0].size)
    tail = begun()
    for seq in range(1, 11):
        tail.hear(news("a", seq, seq))
        assert tail.tell_heard()
    assert told(tail) == [("a", 8), ("a", 9), ("a", 10)]


async def test_what_is_heard_and_has_to_wait_is_bounded_in_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What does not fit is read."""
    monkeypatch.setattr(module, "KEPT_BYTES", 3 * group(1, 1)[0].size)
    tail = begun()
    for seq in range(2, 12):
        tail.hear(news("a", seq, seq))
    assert not tail.tell_heard()
    assert tail.missing([Stretch("a", 2, 11)]) == [Stretch("a", 6, 11)]


async def test_who_waits_for_a_mark_is_told_why_there_is_none() -> None:
    tail = Tail()
    waiting = asyncio.create_task(tail.marked(1))
    await asyncio.sleep(0)
    tail.fail(Unavailable("STORE_UNAVAILABLE", "the store is away"))
    with pytest.raises(Unavailable):
        await waiting


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.integers(1, 3),
            st.sampled_from(["at once", "late", "never", "twice", "read", "read around it"]),
        ),
        max_size=25,
    )
)
def test_whatever_is_heard_each_is_told_once_and_in_order(
    commits: list[tuple[str, int, str]],
) -> None:
    asyncio.run(_follow(commits))


async def _follow(commits: list[tuple[str, int, str]]) -> None:
    tail = begun()
    ends = dict.fromkeys("abc", 0)
    marked = dict(ends)
    late: list[News] = []
    number = 2

    async def read_log() -> None:
        nonlocal marked, number
        found = [
            Stretch(run, marked[run] + 1, end) for run, end in ends.items() if end > marked[run]
        ]
        await read(tail, found, number)
        number += 1
        marked = dict(ends)

    for run, events, heard in commits:
        said = news(run, ends[run] + 1, ends[run] + events, xact=number)
        if heard == "read around it":
            await read_log()
        ends[run] += events
        if heard == "late":
            late.append(said)
        elif heard != "never":
            tail.hear(said)
        if heard == "twice":
            tail.hear(said)
            while late:
                tail.hear(late.pop())
        if heard.startswith("read"):
            await read_log()
        tail.tell_heard()
    await read_log()
    assert tail.tell_heard()
    for run, end in ends.items():
        assert [seq for of, seq in told(tail) if of == run] == list(range(1, end + 1))


async def test_who_comes_to_a_mark_from_elsewhere_does_not_go_back_behind_it() -> None:
    """A reading of two pages, and between them something that was heard meanwhile."""
    tail = begun()
    tail.begin_reading()
    tail.hear(news("c", 1, 1))
    tail.tell_read([Stretch("a", 1, 1)], grouped(Entry("a", e, None) for e in group(1, 1)))
    tail.tell_heard()
    tail.tell_read([Stretch("b", 1, 2)], grouped(Entry("b", e, None) for e in group(1, 2)))
    tail.end_reading(moment(2))
    log = cast("TailedLog", None)
    watch = Feed(NOBODY, log, WATCH)
    watch._stand(Place(moment(2).snapshot), 2)  # all that the reading saw was read by the watch
    watch._next = tail.first
    seen: list[tuple[str, int]] = []
    while (chunk := await watch._following(tail)) is not None:
        seen += [(change.run, change.event.seq) for change in chunk.changes]
        await watch._take(chunk)
    assert seen == [("c", 1)]
