"""Where a reader of one timeline goes on upon a later one."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from time import monotonic

import pytest

from vwed_grpc.domain.errors import NotFound, OutOfRange, Unavailable, VwedError
from vwed_grpc.storage.incarnation import Beginning, CurrentIncarnation, Incarnation

THIRD = Incarnation(
    place="1-1",
    relation=7,
    id="a",
    timeline=3,
    beginnings={
        1: Beginning(xact=5, lsn=None),
        2: Beginning(xact=100, lsn=1_000),
        3: Beginning(xact=200, lsn=2_000),
    },
    seal_key=b"",
)


@pytest.mark.parametrize(
    ("timeline", "xact", "lsn", "goes_on"),
    [
        (3, 250, None, 250),
        (2, 150, 1_500, 150),
        (2, 205, 2_000, 200),  # numbers that were given out again
        (2, 150, 2_001, None),  # beyond what the standby had
        (2, 150, None, None),  # replication was not synchronous
        (1, 90, 1_000, 90),
        (1, 150, 1_000, 100),
        (1, 90, 1_001, None),
        (4, 90, 0, None),  # a timeline that did not lead here
    ],
)
def test_where_a_reader_goes_on(
    timeline: int, xact: int, lsn: int | None, goes_on: int | None
) -> None:
    assert THIRD.resumed(timeline, xact, lsn) == goes_on


def test_what_is_not_known_of_a_timeline_is_not_believed() -> None:
    missed = replace(THIRD, beginnings={1: Beginning(5, None), 3: Beginning(200, None)})
    assert missed.resumed(1, 90, 10) is None
    assert missed.resumed(2, 90, 10) is None


def test_a_commit_confirms_only_what_it_found() -> None:
    current, second = CurrentIncarnation(), replace(THIRD, timeline=2)
    seen = list[bool]()
    for change, found, ago in (
        (second, None, 0),
        (None, second, 0),
        (THIRD, None, 0),
        (None, second, 0),
        (None, THIRD, 60),
    ):
        if change is not None:
            current.change(change)
        if found is not None:
            current.confirm(found, monotonic() - ago)
        seen.append(current.is_confirmed)
    assert seen == [False, True, False, False, False]


@pytest.mark.parametrize("failure", [OutOfRange("SEQ_OUT_OF_RANGE", "?"), NotFound("GONE", "?")])
async def test_what_the_other_lacks_is_not_said_of_the_first(failure: VwedError) -> None:
    current = CurrentIncarnation()
    current.change(replace(THIRD, timeline=2))

    async def read() -> AsyncIterator[int]:
        yield 1
        current.change(THIRD)
        asyncio.get_running_loop().call_soon(current.confirm, THIRD, monotonic())
        raise failure

    current.confirm(current.value, monotonic())
    told = current.still(read())
    assert await anext(told) == 1
    with pytest.raises(Unavailable) as ended:
        await anext(told)
    assert ended.value.reason == "STORE_CHANGED"


def test_listeners_hear_of_changes_alone() -> None:
    current, heard = CurrentIncarnation(), list[int]()
    current.on_change(lambda: heard.append(current.value.timeline))
    current.change(replace(THIRD, timeline=2))
    assert heard == []
    current.change(THIRD)
    assert heard == [3]
