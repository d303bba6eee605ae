"""Files that are read again when they are renewed, while the server runs."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import structlog

log = structlog.get_logger("vwed")

LOOK_SECONDS = 2.0

_Stamps = Sequence[tuple[int, int, int] | None]


async def follow(files: Iterable[Path], read: Callable[[], None]) -> None:
    """Calls `read` whenever one of the files is another one; goes on until cancelled.

    If `read` raises a ValueError it is logged, and called again when the files change again: a
    certificate and its key are not renewed in the same instant. It runs in a thread.
    """
    files = [*files]
    seen = await asyncio.to_thread(_stamps, files)
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        found = await asyncio.to_thread(_stamps, files)
        if found == seen:
            continue
        seen = found
        names = [str(path) for path in files]
        try:
            await asyncio.to_thread(read)
        except ValueError as exc:
            log.error("renewed files cannot be used", files=names, why=str(exc))  # noqa: TRY400 - it says all
        else:
            log.info("renewed files are in use", files=names)


def _stamps(files: Sequence[Path]) -> _Stamps:
    return [_stamp(path) for path in files]


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
