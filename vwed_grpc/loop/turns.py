"""Long work on the event loop, in turns: what else is to be done gets in between.

A process holds its event loop for at most 25 ms at a time (contract, section 7). Work on a thousand
things takes longer, so it asks every few of them whether its turn is over.
"""

import asyncio
from collections.abc import Callable, Iterable
from time import perf_counter
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

TURN = 0.003
"""Seconds. What follows the last item of a turn comes on top."""


class Turns:
    """The turns of one piece of work, the first of which begins now."""

    def __init__(self) -> None:
        self._began = perf_counter()

    async def next(self) -> None:
        """Lets others in, if this turn is over."""
        if perf_counter() - self._began > TURN:
            await asyncio.sleep(0)
            self._began = perf_counter()


async def in_turns(make: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """What `make` makes of each item."""
    turns = Turns()
    made: list[R] = []
    for item in items:
        made.append(make(item))
        await turns.next()
    return made
