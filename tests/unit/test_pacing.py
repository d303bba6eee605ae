"""What can wait has a share of the event loop while others need it, and all of it otherwise."""

import asyncio
import inspect
from collections.abc import AsyncIterator
from contextlib import suppress
from time import perf_counter, sleep, thread_time

import pytest

from vwed_grpc.loop.pacing import CREDIT, REST, Pace

STEP = 0.002


def busy(seconds: float) -> None:
    until = thread_time() + seconds
    while thread_time() < until:
        pass


async def steps(count: int, done: list[int] | None = None) -> int:
    for n in range(count):
        busy(STEP)
        if done is not None:
            done.append(n)
        await asyncio.sleep(0)
    return count


class Rests(Pace):
    """Counts what it would have to rest, and does not take the time."""

    def __init__(self, *, needed: bool) -> None:
        super().__init__(lambda: needed)
        self.rests = 0

    async def rest(self) -> None:
        self.rests += 1
        self._rested_at = perf_counter()
        await asyncio.sleep(0)


async def test_work_rests_while_others_need_the_loop() -> None:
    pace = Rests(needed=True)
    assert await pace.run(steps(20)) == 20
    assert 20 * STEP * REST / CREDIT / 4 <= pace.rests <= 20


async def test_work_does_not_rest_while_nobody_needs_the_loop() -> None:
    pace = Pace(lambda: False)
    pace.took(1000.0)
    assert await asyncio.wait_for(pace.run(steps(20)), 10) == 20


async def test_what_nobody_needed_is_not_owed_later() -> None:
    others = False
    pace = Pace(lambda: others)
    pace.took(1000.0)
    await pace.run(steps(2))
    others = True
    assert await asyncio.wait_for(pace.run(steps(2)), 10) == 2


@pytest.mark.parametrize("needed", [True, False])
async def test_the_loop_turns_between_the_steps_of_those_who_are_woken_at_once(
    needed: bool,
) -> None:
    pace = Pace(lambda: needed)
    reading: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    turns = 0

    async def work() -> int:
        await reading
        busy(2 * STEP)
        return turns

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    woken = [asyncio.ensure_future(pace.run(work())) for _ in range(10)]
    await asyncio.sleep(0)
    turning = asyncio.ensure_future(turn())
    reading.set_result(None)
    went_on_in = await asyncio.gather(*woken)
    turning.cancel()
    assert len(set(went_on_in)) == len(woken)


async def test_a_step_that_cannot_wait_neither_rests_nor_counts() -> None:
    pace = Pace(lambda: True)
    pace.took(1000.0)
    owed = pace._rested_at
    assert await asyncio.wait_for(pace.run(steps(20), lambda: False), 10) == 20
    assert pace._rested_at == owed


async def test_what_the_machine_gave_to_others_is_not_owed() -> None:
    """A step during which the process did not run has not kept anybody from the loop."""

    async def preempted() -> None:
        for _ in range(3):
            sleep(0.1)  # noqa: ASYNC251 - the process stands still
            await asyncio.sleep(0)

    pace = Rests(needed=True)
    await pace.run(preempted())
    assert pace.rests == 0


async def test_all_such_work_together_has_one_share() -> None:
    """However many they are, one rests for the step of another."""
    pace = Pace(lambda: True)
    began = perf_counter()
    await asyncio.gather(*(pace.run(steps(4)) for _ in range(10)))
    assert perf_counter() - began >= 40 * STEP * (1 + REST) - CREDIT - STEP * REST


async def test_a_rest_ends_when_nobody_needs_the_loop_any_more() -> None:
    others = True
    pace = Pace(lambda: others)
    pace.took(1000.0)
    resting = asyncio.ensure_future(pace.run(steps(1)))
    await asyncio.sleep(0.02)
    assert not resting.done()
    others = False
    assert await asyncio.wait_for(resting, 10) == 1


async def test_what_work_raises_or_is_cancelled_by_comes_through() -> None:
    pace = Pace(lambda: True)

    async def fails() -> None:
        await asyncio.sleep(0)
        raise LookupError

    with pytest.raises(LookupError):
        await pace.run(fails())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await pace.run(asyncio.Event().wait())


@pytest.mark.parametrize("owed", [0.0, 1000.0])
async def test_cancelled_work_cleans_up_also_in_its_rest(owed: float) -> None:
    pace = Pace(lambda: True)
    cleaned: list[str] = []
    entered = asyncio.Event()

    async def work() -> None:
        entered.set()
        try:
            pace.took(owed)
            await asyncio.sleep(0)
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            cleaned.append("cancelled")
            raise

    task = asyncio.ensure_future(pace.run(work()))
    await entered.wait()
    await asyncio.sleep(0.01)
    task.cancel()
    if owed:  # what is to be done at the end rests too, unless nobody needs the loop
        pace._rested_at = 0.0
    with suppress(asyncio.CancelledError):
        await task
    assert cleaned == ["cancelled"]


async def test_work_that_is_cancelled_before_its_first_step_is_over() -> None:
    pace, work = Pace(lambda: True), steps(1)
    pace.took(1000.0)
    task = asyncio.ensure_future(pace.run(work))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert inspect.getcoroutinestate(work) == inspect.CORO_CLOSED


async def test_generators_are_iterated_within_work() -> None:
    async def numbers() -> AsyncIterator[int]:
        for n in range(3):
            await asyncio.sleep(0)
            yield n

    async def work() -> list[int]:
        return [n async for n in numbers()]

    assert await Pace(lambda: True).run(work()) == [0, 1, 2]
