"""A watcher's sleep ends when it is woken or at its time, however often the time has moved."""

import asyncio

from tests.support.waiting import PATIENCE
from vwed_grpc.watching.sleep import Sleep


async def test_it_ends_at_its_time() -> None:
    sleep, now = Sleep(), asyncio.get_running_loop().time
    until = now() + 0.03
    await sleep.until(until)
    assert now() >= until


async def test_a_time_that_was_put_off_is_kept() -> None:
    sleep, now = Sleep(), asyncio.get_running_loop().time
    sleep.wake()
    await sleep.until(now() + 0.01)
    until = now() + 0.05
    await sleep.until(until)
    assert now() >= until


async def test_who_is_woken_while_awake_does_not_sleep() -> None:
    sleep = Sleep()
    sleep.wake()
    async with asyncio.timeout(PATIENCE):
        await sleep.until(asyncio.get_running_loop().time() + 60)
    sleep.end()


async def test_after_a_wake_comes_another_sleep() -> None:
    sleep, now = Sleep(), asyncio.get_running_loop().time
    sleep.wake()
    await sleep.until(now() + 60)
    sleep.end()
    sleeping = asyncio.create_task(sleep.until(now() + 60))
    await asyncio.sleep(0.01)
    assert not sleeping.done()
    sleep.wake()
    await sleeping
    sleep.end()
