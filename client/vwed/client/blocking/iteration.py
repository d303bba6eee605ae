import asyncio
from collections.abc import AsyncGenerator, Generator
from typing import Any, TypeVar

from vwed.client.blocking.loop import BackgroundLoop

T = TypeVar("T")
_END: Any = object()


def plain(items: AsyncGenerator[T], loop: BackgroundLoop) -> Generator[T]:
    """The same items, waited for. Closing it, or ending the loop over it, closes them, too."""
    turn = asyncio.Lock()

    async def step() -> T:
        async with turn:
            return await anext(items, _END)

    async def close() -> None:
        async with turn:  # a step that was interrupted may still be on its way out
            await items.aclose()

    try:
        while (item := loop.run(step())) is not _END:
            yield item
    finally:
        if not loop.unreachable():
            loop.run(close())
