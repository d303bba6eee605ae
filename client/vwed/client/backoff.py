import asyncio
import random
from time import monotonic


class Backoff:
    """Pauses between tries: 0.1 s at first, doubled up to 5 s or less, cut by up to half at random.

    Without randomness all clients of a server that restarts would come back in the same instant.
    """

    FIRST = 0.1
    LONGEST = 5.0

    def __init__(self, patience: float, *, longest: float = LONGEST) -> None:
        self._patience = patience
        self._longest = longest
        self.reset()

    def reset(self) -> None:
        """Progress was made: the next pause is short, and patience starts anew."""
        self._next = self.FIRST
        self._failing_since: float | None = None

    async def pause(self, exc: Exception, *, at_least: float = 0.0) -> None:
        """Wait before the next try; raises `exc` after `patience` seconds without progress.

        `at_least`: the seconds that the service asked for.
        """
        now = monotonic()
        if self._failing_since is None:
            self._failing_since = now
        left = self._patience - (now - self._failing_since)
        if left <= 0:
            raise exc
        own = self._next * random.uniform(0.5, 1)  # noqa: S311 - jitter is no secret
        asked = at_least * random.uniform(1, 1.25)  # noqa: S311 - nor is this
        await asyncio.sleep(min(max(own, asked), left))
        self._next = min(self._next * 2, self._longest)
