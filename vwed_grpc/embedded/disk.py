"""Looks after the free space of the disk that the embedded PostgreSQL has its data on."""

import asyncio
import shutil
from pathlib import Path
from typing import Protocol

import structlog

log = structlog.get_logger("vwed.disk")

_LOOK_SECONDS = 1.0
_MARGIN = 1.1
"""So much more than the reserve must be free again, or it would go back and forth."""


class Tell(Protocol):
    def __call__(self, *, is_full: bool) -> None: ...


async def watch_disk(path: Path, reserve: int, tell: Tell) -> None:
    """Tells each time that fewer than `reserve` bytes are left, or enough again; until cancelled.

    A PostgreSQL that cannot write its log stops, reads and all; so it must never come to that.
    """
    was_full = False
    while True:
        free = (await asyncio.to_thread(shutil.disk_usage, path)).free
        is_full = free < (reserve * _MARGIN if was_full else reserve)
        if is_full is not was_full:
            say, what = (log.error, "is full") if is_full else (log.info, "has room again")
            say(f"the disk {what}", free_mib=free >> 20, reserve_mib=reserve >> 20)
            tell(is_full=is_full)
        was_full = is_full
        await asyncio.sleep(_LOOK_SECONDS)
