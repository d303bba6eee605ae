"""Much work in parts."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

_TURN = 200
"""Items that a few milliseconds are enough for."""


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in order, `size` at a time; of none, none."""
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk


async def in_turns(make: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """What `make` makes of each item; other work has its turn in between."""
    made: list[R] = []
    for some in chunks(items, _TURN):
        if made:
            await asyncio.sleep(0)
        made += map(make, some)
    return made
