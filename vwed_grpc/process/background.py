"""Work that goes on beside the calls, for as long as the server does."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import structlog

from vwed_grpc.loop.ending import end

log = structlog.get_logger("vwed")

_RESTART_SECONDS = 1.0


def keep_going(stack: AsyncExitStack, work: Callable[[], Awaitable[None]]) -> None:
    """Runs `work` until the stack is closed; if it ends by an exception it is begun again."""

    async def again_and_again() -> None:
        while True:
            try:
                return await work()
            except Exception:
                log.exception(
                    "background work failed", work=getattr(work, "__qualname__", repr(work))
                )
                await asyncio.sleep(_RESTART_SECONDS)

    stack.push_async_callback(end, [asyncio.create_task(again_and_again())])
