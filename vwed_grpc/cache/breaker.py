"""Whether Redis is spoken to, and whether it is believed."""

from enum import Enum


class BreakerState(Enum):
    """The classic three, with an extra meaning for the middle one."""

    OPEN = "open"
    """Redis is away: nothing is sent to it but the probe."""
    HALF_OPEN = "half open"
    """Redis takes invalidations again, but is not read before the kept ones are replayed."""
    CLOSED = "closed"
    """Redis is well and believed."""


NEXT = {
    BreakerState.OPEN: {BreakerState.HALF_OPEN},
    BreakerState.HALF_OPEN: {BreakerState.OPEN, BreakerState.CLOSED},
    BreakerState.CLOSED: {BreakerState.OPEN},
}


class Breaker:
    """A circuit breaker; it begins open, so the first caller does not pay for a Redis that is away.

    `pause` is how many seconds to wait before the next probe: it doubles with every trial, and goes
    back to the shortest only if the breaker then stays closed for a while, so that a Redis which
    answers the probe and nothing else costs at most one caller a second.
    """

    SHORTEST = 0.05
    LONGEST = 1.0
    STEADY = 5.0

    def __init__(self) -> None:
        self.state = BreakerState.OPEN
        self.pause = self.SHORTEST
        self._closed_at = 0.0

    def to(self, state: BreakerState, now: float) -> None:
        """Change to another state; `now` in seconds of a monotonic clock."""
        if state not in NEXT[self.state]:
            raise ValueError(f"the breaker does not go from {self.state} to {state}")
        if self.state is BreakerState.CLOSED and now - self._closed_at > self.STEADY:
            self.pause = self.SHORTEST
        if state is BreakerState.CLOSED:
            self._closed_at = now
        self.state = state

    def tried(self) -> None:
        """A trial is over: wait longer before the next."""
        self.pause = min(self.pause * 2, self.LONGEST)
