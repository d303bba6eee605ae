"""Invalidations that Redis has not taken yet."""

from collections.abc import Iterable


class Undelivered:
    """Keys to delete once Redis is back, in bounded memory.

    What Redis holds dies by itself `lifetime` seconds after it was written at the latest. So a key
    that no longer fits need not be remembered: it is enough to believe nothing in Redis before
    that time has passed since the key was given up (`trusted_from`).
    """

    def __init__(self, limit: int, lifetime: float) -> None:
        self._limit = limit
        self._lifetime = lifetime
        self._kept: dict[str, float] = {}  # key → when it was last written, oldest first
        self.trusted_from = 0.0
        """By the clock of `add`: values in Redis are not believed before."""

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, keys: Iterable[str], now: float) -> None:
        """Keep keys written at `now`, in seconds of a monotonic clock."""
        for key in keys:
            self._kept.pop(key, None)
            self._kept[key] = now
        self._fit()

    def _fit(self) -> None:
        while len(self._kept) > self._limit:
            written = self._kept.pop(next(iter(self._kept)))
            self.trusted_from = max(self.trusted_from, written + self._lifetime)

    def take(self, count: int) -> dict[str, float]:
        """Hand out up to `count` keys, which are then no longer kept; `restore` undoes it."""
        return dict(self._kept.popitem() for _ in range(min(count, len(self._kept))))

    def restore(self, taken: dict[str, float]) -> None:
        """Redis did not take them; what was added meanwhile is the younger and stays."""
        for key, written in reversed(taken.items()):
            self._kept.setdefault(key, written)
        self._fit()
