"""The end of tasks that go on until they are cancelled."""

import asyncio
from collections.abc import Iterable
from typing import Any

_AGAIN_SECONDS = 1.0


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancels the tasks until they are over.

    Once may not be enough: `asyncio.wait_for` of Python 3.11, with which redis-py sends, swallows a
    cancellation that comes when what it waits for is done.
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=_AGAIN_SECONDS)
