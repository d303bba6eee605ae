"""A run as a thread's code sees it: the same names, whose calls block."""

import inspect
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import timedelta
from functools import partial
from types import TracebackType
from typing import Any, Self

from vwed.v1.task_record_event_pb2 import TaskRecordSignal

from vwed.client.executor.any_run import AnyRun, Parent
from vwed.client.executor.attempts import Tries
from vwed.client.executor.block import BlockTry
from vwed.client.executor.ending import Result
from vwed.client.executor.heartbeats import Words
from vwed.client.executor.run import Run
from vwed.client.executor.run_cache import Number, RunCache
from vwed.client.executor.run_driver import Work
from vwed.client.executor.steps import Step
from vwed.client.executor.threads import ThreadBridge, in_thread


class BlockingBlock(BlockTry):
    """As Block, for `with`."""

    __slots__ = ("_bridge",)

    def __init__(self, bridge: ThreadBridge, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._bridge = bridge

    def __enter__(self) -> Self:
        self._bridge.call(self.begin())
        self.enter()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.leave()
        self._bridge.call_last(self._end(exc))

    def progress(self, fraction: float, message: str = "") -> None:
        self._bridge.tell(partial(super().progress, fraction, message))

    async def _end(self, exc: BaseException | None) -> None:
        self.end(exc)


class BlockingAttempt:
    """As Attempt, for `with`."""

    def __init__(self, block: BlockingBlock, tries: Tries[BlockingBlock]) -> None:
        self._block = block
        self._tries = tries

    def __enter__(self) -> BlockingBlock:
        return self._block.__enter__()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        self._block.__exit__(exc_type, exc, traceback)
        return self._tries.ended(exc)


class BlockingRunCache:
    """As RunCache, without `await`."""

    def __init__(self, bridge: ThreadBridge, cache: RunCache) -> None:
        self._bridge = bridge
        self._cache = cache

    def get(self, key: str, default: Any = None) -> Any:
        return self._bridge.call(self._cache.get(key, default))

    def set(self, key: str, value: Any, ttl: float | timedelta | None = None) -> None:
        self._bridge.call(self._cache.set(key, value, ttl))

    def increment(self, key: str, delta: Number = 1, initial: Number | None = None) -> Number:
        return self._bridge.call(self._cache.increment(key, delta, initial))

    def delete(self, key: str) -> None:
        self._bridge.call(self._cache.delete(key))


class BlockingRun(AnyRun[BlockingBlock]):
    """As Run, for a task that is a plain `def`, without `async` and `await`.

    When the run is to stop, the next call raises RunStopped, or the one that waits.
    """

    def __init__(self, run: Run, bridge: ThreadBridge) -> None:
        super().__init__(run._driver, partial(BlockingBlock, bridge))  # noqa: SLF001 - the same run's
        self.cache = BlockingRunCache(bridge, run.cache)
        self._bridge = bridge
        self._run = run

    def attempts(
        self,
        step: Step | str,
        count: int,
        *,
        iteration: str = "",
        parent: Parent = None,
        inputs: Mapping[str, Any] | None = None,
    ) -> Iterator[BlockingAttempt]:
        tries = self._tries(step, count, iteration=iteration, parent=parent, inputs=inputs)
        while (block := tries.next()) is not None:
            yield BlockingAttempt(block, tries)

    def checkpoint(self) -> None:
        self._bridge.call(self._driver.entry.wait(self._inside()))

    def signals(self) -> Iterator[TaskRecordSignal]:
        signals = self._run.signals()
        while (signal := self._bridge.call(_next(signals))) is not None:
            yield signal

    def _say(self, words: Words) -> None:
        self._bridge.tell(partial(super()._say, words))


def work_of(code: Any) -> Work:
    """What the event loop has to do for a task's code: await it, or run it in a thread."""
    if inspect.iscoroutinefunction(code):
        work: Work = code
        return work

    async def in_its_thread(run: Run) -> Result:
        bridge = ThreadBridge(lambda: run.stop_reason)
        return await in_thread(bridge, partial(code, BlockingRun(run, bridge)))

    return in_its_thread


async def _next(signals: AsyncIterator[TaskRecordSignal]) -> TaskRecordSignal | None:
    return await anext(signals, None)
