"""How late the event loop is: what holds it, every call of this process waits for."""

import asyncio
import time
from bisect import bisect_left
from collections.abc import Iterator

BOUNDS = (
    0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0,
    5.0,
)  # fmt: skip
"""Seconds; close to each other around the 25 ms of the contract, section 7."""
_PERIOD = 0.005


class Lag:
    """A histogram of how late timers go off, two hundred a second.

    A hold is seen as it is but for the part, up to 5 ms, before its timer was due.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        """All of them together."""
        self.longest = 0.0
        """Seconds, since the process began."""
        self._counts = [0] * (len(BOUNDS) + 1)

    async def run(self) -> None:
        """Looks until cancelled."""
        while True:
            due = time.monotonic() + _PERIOD
            await asyncio.sleep(_PERIOD)
            self.note(max(time.monotonic() - due, 0.0))

    def note(self, late: float) -> None:
        self.seconds += late
        self.longest = max(self.longest, late)
        self._counts[bisect_left(BOUNDS, late)] += 1

    @property
    def looks(self) -> int:
        return sum(self._counts)

    def within(self) -> Iterator[tuple[float, int]]:
        """Each bound, and how many were not later."""
        looks = 0
        for bound, count in zip(BOUNDS, self._counts, strict=False):
            looks += count
            yield bound, looks
