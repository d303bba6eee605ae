"""Calls that last end with the tokens that they began with."""

import asyncio
import time

from vwed_grpc.domain.errors import Unauthenticated, VwedError
from vwed_grpc.rpc.waits import OpenCall

_LOOK_SECONDS = 60.0
"""The token ends by the clock of the day, which may be set; the loop's own is not."""


def expired() -> VwedError:
    return Unauthenticated("TOKEN_EXPIRED", "the token has expired")


class Expiry:
    """Ends a call with UNAUTHENTICATED `TOKEN_EXPIRED` when its time has come."""

    __slots__ = ("_call", "_ends", "_timer")

    def __init__(self, call: OpenCall, ends: float) -> None:
        self._call = call
        self._ends = ends
        self._timer: asyncio.TimerHandle | None = None
        self._look()

    def cancel(self) -> None:
        """The call has ended."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        left = self._ends - time.time()
        if left <= 0:
            self._timer = None
            self._call.end(expired())
            return
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(min(left, _LOOK_SECONDS), self._look)
