"""Looks now and then for how long runs have waited for their first executor."""

import asyncio
from collections.abc import Mapping

import structlog

from vwed_grpc.storage import waiting_runs
from vwed_grpc.storage.pool import Pool

log = structlog.get_logger("vwed.waiting_runs")

_EVERY = 15.0
"""Seconds between two looks."""
_LABELS = 200
"""Pairs of tenant and task type that a page names in the life of a process."""
OTHERS = ("others", "others")


class WaitingRuns:
    """What the last look has found."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._seconds: Mapping[tuple[str, ...], float] = {}
        self._named: set[tuple[str, ...]] = set()

    def ages(self) -> Mapping[tuple[str, ...], float]:
        """Seconds by tenant and task type, as they were when it looked."""
        return self._seconds

    async def run(self) -> None:
        """Looks until cancelled; while the store is away it tries on."""
        while True:
            try:
                self._take(await waiting_runs.oldest(self._pool))
            except Exception as exc:  # noqa: BLE001 - whatever it is, the next look may go well
                log.debug("no look at waiting runs", error=repr(exc))
            await asyncio.sleep(_EVERY)

    def _take(self, found: Mapping[tuple[str, str], float]) -> None:
        seconds: dict[tuple[str, ...], float] = {}
        for pair, age in found.items():
            named = pair if pair in self._named or len(self._named) < _LABELS else OTHERS
            self._named.add(named)
            seconds[named] = max(age, seconds.get(named, 0.0))
        self._seconds = seconds
