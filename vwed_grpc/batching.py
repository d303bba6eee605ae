"""Doing together what is asked for at the same time.

What is asked for while a piece of work is under way gathers, and is done together next: so many
callers share one commit, or one statement. Who comes alone is served at once.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from vwed_grpc.domain.errors import Busy, Unavailable

K = TypeVar("K", bound=Hashable)
Q = TypeVar("Q")
A = TypeVar("A")


class Again(Exception):
    """The outcome of what could not be done this time: it comes again, behind the others."""


@dataclass(slots=True, eq=False)
class Asked(Generic[Q, A]):
    """A question whose caller waits for the answer."""

    question: Q
    answer: asyncio.Future[A]

    @property
    def left(self) -> bool:
        """The caller does not wait any more."""
        return self.answer.done()


async def in_parts(
    work: Callable[[Sequence[Q]], Awaitable[Sequence[A | Exception]]], questions: Sequence[Q]
) -> list[A | Exception]:
    """What `work` has for each question; what it raises fails none but the one that is at fault.

    All are done together if that goes well. If not, the halves are done one after the other, and so
    on. Unavailable and Busy are the answer to all at once: they are nobody's fault, and what may
    have been committed must not be tried again.
    """
    try:
        return [*await work(questions)]
    except (Unavailable, Busy) as away:
        return [away] * len(questions)
    except Exception as exc:  # noqa: BLE001 - whatever it is, it is one question's
        if len(questions) == 1:
            return [exc]
    half = len(questions) // 2
    return [
        *await in_parts(work, questions[:half]),
        *await in_parts(work, questions[half:]),
    ]


Work: TypeAlias = Callable[[K, list[Asked[Q, A]]], Awaitable[Sequence[A | Exception]]]
"""Answers some questions of a lane, each by itself; what it raises is the answer to all of them."""


class Batcher(Generic[K, Q, A]):
    """A lane for each key: questions are answered in their order, one piece of work at a time."""

    def __init__(
        self,
        work: Work[K, Q, A],
        *,
        most: int,
        weigh: Callable[[Q], int] = lambda _: 1,
        at_once: int = 0,
    ) -> None:
        """Questions are taken together until they weigh `most`.

        Of all lanes `at_once` may be at work at a time (0: all of them), each in its turn.
        """
        self._work = work
        self._most = most
        self._weigh = weigh
        self._turns: AbstractAsyncContextManager[None] = (
            asyncio.Semaphore(at_once) if at_once else nullcontext()
        )
        self._lanes: dict[K, deque[Asked[Q, A]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, key: K, question: Q) -> A:
        """The answer to a question. Raises what the work has for it instead."""
        one: Asked[Q, A] = Asked(question, asyncio.get_running_loop().create_future())
        lane = self._lanes.get(key)
        if lane is None:
            self._lanes[key] = deque([one])
            task = asyncio.create_task(self._run(key))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            lane.append(one)
        return await one.answer

    async def _run(self, key: K) -> None:
        lane = self._lanes[key]
        while lane:
            async with self._turns:
                lane += await self._answer(key, self._take(lane))
        del self._lanes[key]

    def _take(self, lane: deque[Asked[Q, A]]) -> list[Asked[Q, A]]:
        """The next whose callers still wait."""
        taken: list[Asked[Q, A]] = []
        room = self._most
        while lane and room > 0:
            one = lane.popleft()
            if not one.left:
                taken.append(one)
                room -= self._weigh(one.question)
        return taken

    async def _answer(self, key: K, taken: list[Asked[Q, A]]) -> list[Asked[Q, A]]:
        """Those that come again."""
        if not taken:
            return []
        outcomes: Sequence[A | Exception]
        try:
            outcomes = await self._work(key, taken)
        except Exception as exc:  # noqa: BLE001 - each caller's edge maps it
            outcomes = [exc] * len(taken)
        again = []
        for one, outcome in zip(taken, outcomes, strict=True):
            if one.left:
                continue
            if isinstance(outcome, Again):
                again.append(one)
            elif isinstance(outcome, Exception):
                one.answer.set_exception(outcome)
            else:
                one.answer.set_result(outcome)
        return again
