"""How tests wait on a machine that may be busy: for the condition, not for the clock."""

import asyncio
import inspect
import math
import os
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

Found = TypeVar("Found")

PATIENCE = 30.0
"""Seconds, far beyond what anything takes on a busy machine: only a failing test waits them."""
ROUNDS = 8


@overload
async def until_true(
    look: Callable[[], Awaitable[Found]], *, what: str = ..., every: float = ...
) -> Found: ...


@overload
async def until_true(
    look: Callable[[], Found], *, what: str = ..., every: float = ...
) -> Found: ...


async def until_true(
    look: Callable[[], Any], *, what: str = "what is waited for", every: float = 0.02
) -> Any:
    """What `look` finds, once that is true; looks again every so many seconds until then.

    Raises AssertionError that says `what` did not come, and what was found instead.
    """
    now = asyncio.get_running_loop().time
    end = now() + PATIENCE
    while True:
        last = now() > end  # of a time before the look, so a stall cannot end the waiting unlooked
        found = look()
        if inspect.isawaitable(found):
            found = await found
        if found:
            return found
        assert not last, f"{what} did not come within {PATIENCE} s, but {found!r}"
        await asyncio.sleep(every)


async def promptly(
    measure: Callable[[], Awaitable[float]], *, below: float, rounds: int = ROUNDS
) -> None:
    """Fails unless what `measure` answers, in seconds, is below a bound in one round of several.

    A busy machine makes some rounds late. What is late by its construction, because it waits for a
    time-out or for the next look say, is late in every one; give fewer rounds where chance, such as
    when that look was last, may make one of them early.
    """
    took = list[float]()
    while len(took) < rounds:
        took.append(await measure())
        if took[-1] < below:
            return
    raise AssertionError(f"{took} s, and never below {below} s")


def cheaply(work: Callable[[], object], *, below: float) -> None:
    """Fails unless `work` takes less than a bound, in seconds of this thread, once in some rounds.

    They are longer when neighbours share the caches of the processor; what is dear by its
    construction is dear in every round.
    """
    if sys.gettrace() is not None:  # `make coverage` counts lines, which takes time of its own
        below *= 3
    if "MUTANT_UNDER_TEST" in os.environ:  # mutmut's code is slow: only what `work` asserts counts
        below = math.inf
    took = list[float]()
    while len(took) < ROUNDS:
        began = time.thread_time()
        work()
        took.append(time.thread_time() - began)
        if took[-1] < below:
            return
    raise AssertionError(f"{took} s, and never below {below} s")
