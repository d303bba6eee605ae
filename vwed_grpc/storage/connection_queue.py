"""The connections of one purpose, as callers take them: in turn, and nobody waits for ever."""

import asyncio
import time

from vwed_grpc.domain.errors import Busy

QUEUED = 1_000
"""Callers that wait at a time: what they hold is bounded, and most have left when one is served."""


class ConnectionQueue:
    """As many callers are let in at a time as there are connections; the others queue."""

    def __init__(self, purpose: str, connections: int, patience: float) -> None:
        """`patience`: seconds that a caller may wait; `purpose` names the limit in refusals."""
        self._reason = f"{purpose.upper()}_CONNECTIONS"
        self._message = f"all connections for {purpose} work are taken, and others wait; try later"
        self._free = asyncio.Semaphore(connections)
        self._patience = patience
        self.queued = 0
        """Callers that wait."""
        self.waits = 0
        """How many have had to."""
        self.wait_seconds = 0.0
        """How long they did, all together."""

    async def __aenter__(self) -> None:
        """Raises Busy if the queue is full, or does not end in time."""
        if not self._free.locked():
            await self._free.acquire()  # at once
            return
        if self.queued >= QUEUED:
            raise self._refusal()
        self.queued += 1
        self.waits += 1
        since = time.monotonic()
        try:
            async with asyncio.timeout(self._patience):
                await self._free.acquire()
        except TimeoutError:
            raise self._refusal() from None
        finally:
            self.queued -= 1
            self.wait_seconds += time.monotonic() - since

    async def __aexit__(self, *_: object) -> None:
        self._free.release()

    def _refusal(self) -> Busy:
        return Busy(self._reason, self._message, retry_after=1.0)
