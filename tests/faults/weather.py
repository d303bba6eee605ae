"""What the times of a test are judged by: what was out of order when, and how late the judge is."""

import asyncio
import time
from dataclasses import dataclass, field

WITHOUT_REDIS = 1.0
AFTER_LOST_WAKE_UP = 5.0
"""Seconds within which the contract wants an event to arrive."""
AFTER_POSTGRES = 2.0
"""Until all that a PostgreSQL which stood still kept waiting is as it was."""
ALLOWANCE = 1.0
"""Seconds on top for a machine whose few cores servers, stores, clients and watchers share."""


@dataclass
class Weather:
    redis_away: list[tuple[float, float]] = field(default_factory=list)
    """From when to when."""
    postgres_away: list[tuple[float, float]] = field(default_factory=list)
    lags: list[tuple[float, float]] = field(default_factory=list)
    """When this very process, which takes the times, came late, and how much."""

    def allowed(self, committed: float, arrived: float) -> float:
        """Seconds. The stricter bound holds while Redis is away, once everybody knows that."""
        away = any(a + 1 < committed < b - WITHOUT_REDIS for a, b in self.redis_away)
        bound = WITHOUT_REDIS if away else AFTER_LOST_WAKE_UP
        return bound + self.noise(committed, arrived)

    def noise(self, since: float, until: float) -> float:
        """Seconds that the machine may have taken, which the servers share with the judge.

        And those in which PostgreSQL answered nobody.
        """
        lags = (lag for at, lag in self.lags if since <= at <= until + lag)
        away = (
            min(until, end + AFTER_POSTGRES) - max(since, began)
            for began, end in self.postgres_away
        )
        return ALLOWANCE + 2 * max(lags, default=0.0) + sum(max(some, 0.0) for some in away)

    async def observe(self) -> None:
        """Notes how late this process is, until cancelled."""
        while True:
            due = time.time() + 0.05
            await asyncio.sleep(0.05)
            if (lag := time.time() - due) > 0.1:
                self.lags.append((due + lag, lag))
