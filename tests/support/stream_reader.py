"""A stream that is read in the background, and waited for."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

from tests.support.waiting import PATIENCE

M = TypeVar("M")


class StreamReader(ABC, Generic[M]):
    """Takes each message as it comes."""

    def __init__(self) -> None:
        self._news = asyncio.Condition()
        self._ended = False

    @abstractmethod
    def _take(self, message: M) -> None:
        """Checks the message, and keeps what it said."""

    async def read(self, stream: AsyncIterator[M]) -> None:
        try:
            async for message in stream:
                self._take(message)
                async with self._news:
                    self._news.notify_all()
        finally:
            self._ended = True
            async with self._news:
                self._news.notify_all()

    async def until(self, true: Callable[[], bool]) -> None:
        """Waits until something is true of what was told, or the stream has ended."""
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(lambda: self._ended or true())

    async def end(self) -> None:
        """Waits until the stream has ended."""
        await self.until(lambda: False)
