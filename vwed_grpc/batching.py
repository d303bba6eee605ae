"""Doing together what is asked for at the same time.

What is asked for while a piece of work is under way gathers, and is done together next: so many
callers share one commit, or one statement. Who comes alone is served at once.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from math import inf
from typing import Generic, TypeAlias, TypeVar

from opentelemetry.trace import Span

from vwed_grpc.domain.errors import Busy, DeadlineExceeded, ResourceExhausted, Unavailable
from vwed_grpc.telemetry.tracing import begin_shared, current

K = TypeVar("K", bound=Hashable)
Q = TypeVar("Q")
A = TypeVar("A")

_REST_SECONDS = 0.005
"""After which what could not be done comes again."""
_PATIENCE = 30.0  # seconds that a caller without a deadline waits for room
_LAST_WORD = 0.1  # seconds that a refusal may take to a caller with one


class Again(Exception):
    """The outcome of what could not be done this time: it comes again, after a rest.

    What was taken with it and has its ordering key must have this outcome as well.
    """


@dataclass(slots=True, eq=False)
class Asked(Generic[Q, A]):
    """A question whose caller waits for the answer."""

    question: Q
    answer: asyncio.Future[A]
    until: float = inf
    """When its caller waits no more, in the loop's time."""
    weight: int = 1
    span: Span | None = field(default_factory=current)
    """Of the call that asks, if it is traced."""
    ordering_key: Hashable = None
    """Questions of a lane that have the same are answered in their order."""

    @property
    def left(self) -> bool:
        """The caller does not wait any more."""
        return self.answer.done() or self.until < self.answer.get_loop().time()


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


def in_halves(work: Work[K, Q, A]) -> Work[K, Q, A]:
    """Work of which a failure is the answer to none but the question that is at fault."""

    async def halving(key: K, asked: list[Asked[Q, A]]) -> Sequence[A | Exception]:
        resting: set[Hashable] = set()

        async def part(some: Sequence[Asked[Q, A]]) -> Sequence[A | Exception]:
            # Their order is kept: what follows one that comes again does so as well.
            tried = [one for one in some if one.ordering_key not in resting]
            outcomes = dict(zip(tried, await work(key, tried), strict=True)) if tried else {}
            resting.update(one.ordering_key for one in tried if isinstance(outcomes[one], Again))
            return [outcomes[one] if one in outcomes else Again() for one in some]

        return await in_parts(part, asked)

    return halving


@dataclass(slots=True, eq=False)
class _Lane(Generic[Q, A]):
    """What waits under one key of the batcher."""

    waiting: dict[Hashable, deque[Asked[Q, A]]] = field(default_factory=dict)
    """By ordering key; the one that waits longest comes first."""
    away: set[Hashable] = field(default_factory=set)
    """Ordering keys that a piece of work has, or that rest."""
    pieces: int = 0
    weight: int = 0
    """Of all that waits or is under way."""
    under_way: int = 0
    """The weight of what a piece of work has."""
    room: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when some of the weight is gone."""

    @property
    def is_ready(self) -> bool:
        """Whether a piece of work would find something."""
        return any(key not in self.away for key in self.waiting)

    @property
    def is_done(self) -> bool:
        return not (self.waiting or self.away or self.pieces)

    def add(self, one: Asked[Q, A]) -> None:
        self.waiting.setdefault(one.ordering_key, deque()).append(one)
        self.weight += one.weight

    def take(self, most: int) -> list[Asked[Q, A]]:
        """The next whose callers still wait; their ordering keys are away until `give_back`."""
        taken: list[Asked[Q, A]] = []
        weight = dropped = 0
        for key in [key for key in self.waiting if key not in self.away]:
            if weight >= most:
                break
            queue = self.waiting.pop(key)
            while queue and weight < most:
                one = queue.popleft()
                if one.left:
                    dropped += one.weight
                    _tell_late(one)
                else:
                    taken.append(one)
                    weight += one.weight
                    self.away.add(key)
            if queue:
                self.waiting[key] = queue  # behind the others, for it has had its turn
        self.under_way += weight
        self._lighten(dropped)
        return taken

    def give_back(self, taken: list[Asked[Q, A]], again: list[Asked[Q, A]]) -> None:
        """What was taken is answered, but for what comes again, before all that follows it."""
        for one in reversed(again):
            self.waiting.setdefault(one.ordering_key, deque()).appendleft(one)
        self.away -= _ordering_keys(taken) - _ordering_keys(again)
        weight = sum(one.weight for one in taken)
        self.under_way -= weight
        self._lighten(weight - sum(one.weight for one in again))

    def _lighten(self, weight: int) -> None:
        if weight:
            self.weight -= weight
            self.room.set()


def _ordering_keys(asked: Sequence[Asked[Q, A]]) -> set[Hashable]:
    return {one.ordering_key for one in asked}


def _tell_late(one: Asked[Q, A]) -> None:
    if not one.answer.done():
        late = DeadlineExceeded("DEADLINE_EXCEEDED", "what was asked for was not yet begun")
        one.answer.set_exception(late)


class Batcher(Generic[K, Q, A]):
    """A lane for each key, in which what is asked while a piece of work is under way gathers.

    Those with the same ordering key are answered in their order, for one piece of work at a time
    has any of them.
    """

    def __init__(
        self,
        work: Work[K, Q, A],
        *,
        most: int,
        weigh: Callable[[Q], int] = lambda _: 1,
        ordering_key: Callable[[Q], Hashable] = lambda _: None,
        in_lane: int = 1,
        at_once: int = 0,
        limit: float = inf,
    ) -> None:
        """A batcher.

        Args:
            work: answers what was taken together.
            most: questions are taken together until they weigh so much.
            weigh: what a question weighs.
            ordering_key: equal for questions that must keep their order. When one of them comes
                again, all of them rest, and the others of their lane go on.
            in_lane: pieces of work of one lane at a time. One more than the first is begun when
                it has all that it may take.
            at_once: pieces of work of all lanes at a time, each lane in its turn; 0: no limit.
            limit: of the weight that waits or is under way in a lane. Whoever comes then waits for
                room.
        """
        self._work = work
        self._most = most
        self._weigh = weigh
        self._ordering_key = ordering_key
        self._in_lane = in_lane
        self._limit = limit
        self._turns: AbstractAsyncContextManager[None] = (
            asyncio.Semaphore(at_once) if at_once else nullcontext()
        )
        self._lanes: dict[K, _Lane[Q, A]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def weight(self) -> int:
        """Of all that waits or is under way, in all lanes."""
        return sum(lane.weight for lane in self._lanes.values())

    def weight_of(self, key: K) -> int:
        """The same of one lane."""
        lane = self._lanes.get(key)
        return lane.weight if lane is not None else 0

    async def ask(self, key: K, question: Q, seconds: float | None = None) -> A:
        """The answer to a question. Raises what the work has for it instead.

        The caller waits so many seconds, None: for ever. Raises ResourceExhausted `QUEUE_FULL` if
        there was no room until a moment before, DeadlineExceeded for what was not begun by then.
        """
        return await (await self.submit(key, question, seconds))

    async def submit(self, key: K, question: Q, seconds: float | None = None) -> asyncio.Future[A]:
        """As `ask`, but returns as soon as the question has its place in the order."""
        loop = asyncio.get_running_loop()
        until = inf if seconds is None else loop.time() + seconds
        one: Asked[Q, A] = Asked(
            question,
            loop.create_future(),
            until,
            self._weigh(question),
            ordering_key=self._ordering_key(question),
        )
        lane = self._lanes.get(key)
        if lane is not None and lane.weight >= self._limit:
            await self._wait_for_room(key, seconds)
            lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = _Lane()
        lane.add(one)
        self._begin(key, lane)
        return one.answer

    async def _wait_for_room(self, key: K, seconds: float | None) -> None:
        patience = _PATIENCE if seconds is None else seconds - min(_LAST_WORD, seconds / 10)
        try:
            async with asyncio.timeout(patience):
                while (lane := self._lanes.get(key)) is not None and lane.weight >= self._limit:
                    lane.room.clear()
                    await lane.room.wait()
        except TimeoutError:
            raise ResourceExhausted(
                "QUEUE_FULL",
                f"too much is waiting: the limit of a tenant is {self._limit:,}",
                metadata={"limit": str(self._limit), "scope": "tenant"},
                retry_after=1.0,
            ) from None

    def _begin(self, key: K, lane: _Lane[Q, A]) -> None:
        """Begins a piece of work: if none is under way, or beside it if it is worth it."""
        if lane.pieces and (
            lane.pieces >= self._in_lane or lane.weight - lane.under_way < self._most
        ):
            return
        if lane.is_ready:
            lane.pieces += 1
            task = asyncio.create_task(self._run(key, lane))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self, key: K, lane: _Lane[Q, A]) -> None:
        while lane.is_ready:
            async with self._turns:
                taken = lane.take(self._most)
                self._begin(key, lane)
                again = await self._answer(key, taken)
            lane.give_back(taken, again)
            if again:
                asyncio.get_running_loop().call_later(
                    _REST_SECONDS, self._rested, key, lane, _ordering_keys(again)
                )
        # Nothing comes in between: whoever asks from here on begins another piece of work.
        lane.pieces -= 1
        if lane.is_done:
            del self._lanes[key]

    def _rested(self, key: K, lane: _Lane[Q, A], rested: set[Hashable]) -> None:
        lane.away -= rested
        self._begin(key, lane)

    async def _answer(self, key: K, taken: list[Asked[Q, A]]) -> list[Asked[Q, A]]:
        """Those that come again."""
        if not taken:
            return []
        outcomes: Sequence[A | Exception]
        span = begin_shared(one.span for one in taken)
        try:
            outcomes = await self._work(key, taken)
        except Exception as exc:  # noqa: BLE001 - each caller's edge maps it
            outcomes = [exc] * len(taken)
        finally:
            if span is not None:
                span.end()
        again = []
        for one, outcome in zip(taken, outcomes, strict=True):
            if one.answer.done():
                continue
            if isinstance(outcome, Again):
                again.append(one)
            elif isinstance(outcome, Exception):
                one.answer.set_exception(outcome)
            else:
                one.answer.set_result(outcome)
        return again
