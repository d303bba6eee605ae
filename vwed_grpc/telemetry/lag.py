"""How late the event loop is: what holds it, every call of this process waits for."""

import asyncio
import time

from vwed_grpc.telemetry.meters import Observe

_PERIOD = 0.005


class Lag:
    """Observes how late timers go off, two hundred a second.

    A hold is seen as it is but for the part, up to 5 ms, before its timer was due.
    """

    def __init__(self, observe: Observe) -> None:
        self.longest = 0.0
        """Seconds, since the process began."""
        self._observe = observe

    async def run(self) -> None:
        """Looks until cancelled."""
        while True:
            due = time.monotonic() + _PERIOD
            await asyncio.sleep(_PERIOD)
            late = max(time.monotonic() - due, 0.0)
            self.longest = max(self.longest, late)
            self._observe(late)
