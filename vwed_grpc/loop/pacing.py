"""What can wait leaves the event loop to what cannot.

Lists, figures, imports and watches that catch up are made of short steps, none of which holds the
loop for long. But a report needs some ten turns of the loop, and in each it waits for a step of
theirs, or for several: a hundred watches that one reading wakes would all go on in the same turn.
So all such work together has a share of the loop while others need it; and if nobody does, the loop
still turns between its steps.
"""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from time import perf_counter, thread_time
from typing import Any, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

REST = 5.0
"""Seconds of rest for each second of processor time that work takes: a sixth of the loop. Time that
the machine gives to other processes amid a step does not count, for it is not the work's."""
CREDIT = 0.006
"""Seconds of rest that may be owed: to rest after every little step would cost more than it is."""
_LOOK = 0.005
"""Seconds after which who rests looks whether anybody still needs the loop."""


class Pace:
    """Shared by all work of a process that can wait."""

    def __init__(self, needed: Callable[[], bool]) -> None:
        """`needed`: whether somebody who cannot wait is at work."""
        self._needed = needed
        self._rested_at = 0.0
        """When all rest that is owed is over, by `perf_counter`."""
        self._turn = asyncio.Lock()

    async def run(
        self, work: Coroutine[Any, Any, T], can_wait: Callable[[], bool] = lambda: True
    ) -> T:
        """What `work` answers or raises; between its steps it rests if it must.

        `can_wait`: whether the next step can. One that cannot is not counted, either.
        """
        return await _Paced(work, self, can_wait)

    def paced(
        self, function: Callable[P, Coroutine[Any, Any, T]]
    ) -> Callable[P, Coroutine[Any, Any, T]]:
        """The same function, whose work rests between its steps."""

        async def run(*args: P.args, **kwargs: P.kwargs) -> T:
            return await self.run(function(*args, **kwargs))

        return run

    def took(self, seconds: float) -> None:
        """A step took so many seconds of processor time."""
        # The time of the work itself is no rest from what was done before.
        self._rested_at = max(self._rested_at + seconds, perf_counter()) + REST * seconds

    @property
    def is_due(self) -> bool:
        """Whether work is to rest before it goes on."""
        return self._rested_at > perf_counter() + CREDIT

    async def rest(self) -> None:
        """Returns to one at a time: who comes next owes the rest for the step before.

        What nobody needs is not owed any more, but for a turn of the loop.
        """
        async with self._turn:
            await asyncio.sleep(0)
            while (left := self._rested_at - perf_counter()) > 0 and self._needed():  # noqa: ASYNC110 - it rests, and waits for nothing
                await asyncio.sleep(min(left, _LOOK))
            self._rested_at = min(self._rested_at, perf_counter())


class _Paced(Generic[T]):
    """Awaits a coroutine as `await` does, and times each of its steps."""

    def __init__(
        self, work: Coroutine[Any, Any, T], pace: Pace, can_wait: Callable[[], bool]
    ) -> None:
        self._work = work
        self._pace = pace
        self._can_wait = can_wait

    def __await__(self) -> Generator[Any, Any, T]:
        work, pace, can_wait = self._work, self._pace, self._can_wait
        step: Callable[[Any], Any] = work.send
        given: Any = None
        while True:
            waits = can_wait()
            if waits and pace.is_due:
                try:
                    yield from pace.rest().__await__()
                except BaseException as exc:  # noqa: BLE001 - it is for the work to be cancelled
                    step, given = work.throw, exc
            began = thread_time()
            try:
                waits_for = step(given)
            except StopIteration as end:
                answer: T = end.value
                return answer
            finally:
                given = None  # an error that comes out holds this frame, which held it
                if waits:
                    pace.took(thread_time() - began)
            try:
                given = yield waits_for
                step = work.send
            except BaseException as exc:  # noqa: BLE001 - whatever it is, it is for the work
                step, given = work.throw, exc
            del waits_for  # it may be a future with that error
