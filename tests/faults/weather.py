"""What the times of a test are judged by: what was out of order when, and how late the judge is."""

import asyncio
import time
from dataclasses import dataclass, field

WITHOUT_REDIS = 1.0
AFTER_LOST_WAKE_UP = 5.0
"""Seconds within which the contract wants an event to arrive."""
ALLOWANCE = 1.0
"""Seconds on top for a machine whose few cores servers, stores, clients and watchers share."""


@dataclass
class Weather:
    redis_away: list[tuple[float, float]] = field(default_factory=list)
    """From when to when."""
    lags: list[tuple[float, float]] = field(default_factory=list)
    """When this very process, which takes the times, came late, and how much."""

    def allowed(self, committed: float, arrived: float) -> float:
        """Seconds. The stricter bound holds while Redis is away, once everybody knows that."""
        away = any(a + 1 < committed < b - WITHOUT_REDIS for a, b in self.redis_away)
        bound = WITHOUT_REDIS if away else AFTER_LOST_WAKE_UP
        return bound + self.noise(committed, arrived)

    def noise(self, since: float, until: float) -> float:
        """Seconds that the machine may have taken; the servers share it with the judge."""
        lags = (lag for at, lag in self.lags if since <= at <= until + lag)
        return ALLOWANCE + 2 * max(lags, default=0.0)

    async def observe(self) -> None:
        """Notes how late this process is, until cancelled."""
        while True:
            due = time.time() + 0.05
            await asyncio.sleep(0.05)
            if (lag := time.time() - due) > 0.1:
                self.lags.append((due + lag, lag))
