"""Work that is too long for the event loop: done beside it, one piece after another.

A thread shares the interpreter with the loop, which waits for it at most `sys.getswitchinterval`
at a time (1 ms, see `cli.serving`), or until a call into C returns: to parse a config of 240 KB
takes 6 ms. Of several threads each would take such a turn before the loop, so there is one.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

LARGE = 16 * 1024
"""Bytes of a message above which looking through it takes far longer than to hand it over."""

_lane = ThreadPoolExecutor(max_workers=1, thread_name_prefix="offload")


async def offload(size: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `work` answers or raises; done at once unless the message of `size` bytes is large.

    The work is to be pure, and nobody else touches its arguments meanwhile. A caller who leaves
    does not stop it.
    """
    return work(*args, **kwargs) if size <= LARGE else await in_thread(work, *args, **kwargs)


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """As `offload`, whatever the size: for work whose bytes do not say how long it takes."""
    return await asyncio.wrap_future(_lane.submit(work, *args, **kwargs))
