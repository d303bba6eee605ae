"""Requests as they come in: how many may be under way, and in what time.

gRPC buffers up to 64 KiB of a request that nobody reads (see `rpc.options`), and all of one that
somebody does. So a request is read once its call is admitted, and by few calls at a time.
"""

import asyncio
from typing import Any

from vwed_grpc.domain.errors import ResourceExhausted
from vwed_grpc.rpc.places import RETRY_SECONDS, Places
from vwed_grpc.rpc.waits import OpenCall, Waits

_SWEEP_SECONDS = 0.05
_SLOW_SWEEPS = 3
"""A request that is still read in the third sweep is a slow one: its call gives its place back.
Sweeps are counted, not seconds, for in a second that the loop was held nothing could be read."""


class Reader(OpenCall):
    """A call whose one request is read."""

    __slots__ = ("began", "slow", "sweeps")

    sweeps: int
    """How many found it reading."""
    began: float
    """When the first of them did."""
    slow: bool

    def leave(self) -> None:
        """Gives back the place of its class."""
        raise NotImplementedError


class Reading:
    """Reads the one request of each call of some classes."""

    def __init__(
        self, fast: int, slow: int, *, seconds: float, queue: int, patience: float
    ) -> None:
        """So many at once, and of those that did not come at once, for so many seconds.

        `queue` calls may wait for their turn, for `patience` seconds.
        """
        self._fast = Places(
            fast, "TOO_MANY_UPLOADS", "requests that come in", queue=queue, patience=patience
        )
        self._slow = Waits(slow, slow, "TOO_MANY_SLOW_UPLOADS", "requests that come in slowly")
        self._seconds = seconds
        self._readers: dict[Reader, None] = {}
        self._sweeping = False

    async def read(self, call: Reader, context: Any) -> Any:
        """The request's bytes, or EOF. If it does not come at once, the call leaves its place.

        Raises ResourceExhausted, and what gRPC raises; ends the call if the request is not whole in
        time.
        """
        if not self._fast.try_enter(call.tenant):
            await self._fast.enter(call.tenant)
        self._readers[call] = None
        if not self._sweeping:
            self._sweeping = True
            loop = asyncio.get_running_loop()
            loop.call_later(_SWEEP_SECONDS, self._sweep, loop)
        try:
            return await context.read()
        finally:
            del self._readers[call]
            if call.slow:
                self._slow.leave(call)
            else:
                self._fast.leave(call.tenant)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """One timer for all: a timer for each would cost more than all else here."""
        now = loop.time()
        for call in list(self._readers):
            call.sweeps += 1
            if call.sweeps == 1:
                call.began = now
            elif now - call.began >= self._seconds:
                call.end(self._not_whole())
            elif call.sweeps == _SLOW_SWEEPS:
                self._slow_down(call)
        self._sweeping = bool(self._readers)
        if self._sweeping:
            loop.call_later(_SWEEP_SECONDS, self._sweep, loop)

    def _slow_down(self, call: Reader) -> None:
        try:
            self._slow.enter(call, "")
        except ResourceExhausted as refusal:
            call.end(refusal)
            return
        call.slow = True
        self._fast.leave(call.tenant)
        call.leave()

    def _not_whole(self) -> ResourceExhausted:
        return ResourceExhausted(
            "REQUEST_NOT_WHOLE",
            f"the request was not whole within {self._seconds:g} s",
            metadata={"limit": f"{self._seconds:g}", "scope": "call"},
            retry_after=RETRY_SECONDS,
        )
