"""Code that blocks: a plain `def` runs in a thread, with a run whose calls block."""

from collections.abc import Callable

from vwed.client.executor.driving import Work
from vwed.client.executor.ending import Result
from vwed.client.executor.run import Run


class BlockingRun:
    pass


def in_thread(code: Callable[[BlockingRun], Result]) -> Work:
    async def work(run: Run) -> Result:
        raise NotImplementedError

    return work
