"""Tries of one block: the next one after one that failed, so many at most."""

from collections.abc import Callable
from types import TracebackType
from typing import Generic, TypeVar

from vwed.client.executor.block import Block, BlockTry
from vwed.client.executor.stopping import BlockFailed

BlockT = TypeVar("BlockT", bound=BlockTry)


class Tries(Generic[BlockT]):
    def __init__(self, make: Callable[[], BlockT], count: int) -> None:
        self._make = make
        self._left = count
        self._failed = True
        """The latest one, or there was none."""

    def next(self) -> BlockT | None:
        """None: the latest one went well, or there are to be no more."""
        if not (self._left and self._failed):
            return None
        self._left -= 1
        self._failed = False
        return self._make()

    def ended(self, exc: BaseException | None) -> bool:
        """Whether what the latest one raised goes no further: it failed, and there are more."""
        self._failed = isinstance(exc, BlockFailed)
        return self._failed and self._left > 0


class Attempt:
    """One try: `async with attempt as block`. Unless it is the last, BlockFailed ends it alone."""

    def __init__(self, block: Block, tries: Tries[Block]) -> None:
        self._block = block
        self._tries = tries

    async def __aenter__(self) -> Block:
        return await self._block.__aenter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        await self._block.__aexit__(exc_type, exc, traceback)
        return self._tries.ended(exc)


class Attempts:
    """`async for attempt in run.attempts(step, 2)`."""

    def __init__(self, tries: Tries[Block]) -> None:
        self._tries = tries

    def __aiter__(self) -> "Attempts":
        return self

    async def __anext__(self) -> Attempt:
        block = self._tries.next()
        if block is None:
            raise StopAsyncIteration
        return Attempt(block, self._tries)
