from collections.abc import Callable
from types import TracebackType

from vwed.client.executor.block import Block
from vwed.client.executor.stopping import BlockFailed


class Attempt:
    """One try: `async with attempt as block`. Unless it is the last, BlockFailed ends it alone."""

    def __init__(self, block: Block, *, last: bool) -> None:
        self._block = block
        self._last = last
        self.failed = False

    async def __aenter__(self) -> Block:
        return await self._block.__aenter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        await self._block.__aexit__(exc_type, exc, traceback)
        return self.ended(exc)

    def ended(self, exc: BaseException | None) -> bool:
        """Whether what the block's code raised goes no further."""
        self.failed = isinstance(exc, BlockFailed)
        return self.failed and not self._last


class Attempts:
    """The tries of one block: the next one after one that failed, so many at most."""

    def __init__(self, make: Callable[[], Block], count: int) -> None:
        self._make = make
        self._left = count
        self._latest: Attempt | None = None

    def __aiter__(self) -> "Attempts":
        return self

    async def __anext__(self) -> Attempt:
        attempt = self.next()
        if attempt is None:
            raise StopAsyncIteration
        return attempt

    def next(self) -> Attempt | None:
        """None: the last one went well, or there are to be no more."""
        if not self._left or (self._latest is not None and not self._latest.failed):
            return None
        self._left -= 1
        self._latest = Attempt(self._make(), last=not self._left)
        return self._latest
