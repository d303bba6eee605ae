"""Invalidations that Redis took lately: it may forget them."""

from collections.abc import Iterable


class Delivered:
    """Keys that were deleted, in bounded memory.

    A replica that becomes the primary, or a server that starts from its disk, may not know of the
    latest deletions and have the old values again. These die by themselves, `lifetime` seconds
    after they were written at the latest, so what is older need not be deleted again.
    """

    def __init__(self, limit: int, lifetime: float) -> None:
        self._limit = limit
        self._lifetime = lifetime
        self._deleted: dict[str, float] = {}  # key → when, oldest first

    def add(self, keys: Iterable[str], now: float) -> None:
        """Remember keys deleted at `now`, in seconds of a monotonic clock."""
        for key in keys:
            self._deleted.pop(key, None)
            self._deleted[key] = now
        while len(self._deleted) > self._limit:
            del self._deleted[next(iter(self._deleted))]

    def lately(self, now: float) -> list[str]:
        """The latest of those whose old values might still be somewhere."""
        return [key for key, at in self._deleted.items() if at > now - self._lifetime]
