"""Requests as they come in: how many may be under way, in what time, and how many bytes they hold.

gRPC buffers up to 64 KiB of a request that nobody reads (see the server's options), and all of one
that somebody does. So a request is read once its call is admitted, and by few calls at a time.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc

from vwed_grpc.domain.errors import ResourceExhausted
from vwed_grpc.rpc.limits import Limits
from vwed_grpc.rpc.offload import LARGE
from vwed_grpc.rpc.places import Places
from vwed_grpc.rpc.waits import OpenCall, Waits

READ_SECONDS = 10.0
"""After which a request that is not whole is refused (contract, section 7)."""
_SWEEP_SECONDS = 0.05
_SLOW_SWEEPS = 3
"""A request that is still read in the third sweep is a slow one: its call gives its place back.
Sweeps are counted, not seconds, for in a second that the loop was held nothing could be read."""


@dataclass(slots=True, eq=False)
class _Reader:
    call: OpenCall
    leave: Callable[[], None]
    """Gives back the place of its call's class."""
    began: float
    sweeps: int = 0
    slow: bool = False


class Reading:
    """Reads the one request of a call."""

    def __init__(self, limits: Limits) -> None:
        self._fast = Places(
            limits.reading, "TOO_MANY_UPLOADS", "requests that come in", queue=4_096, patience=2.0
        )
        self._slow = Waits(
            limits.reading_slowly,
            limits.reading_slowly,
            "TOO_MANY_SLOW_UPLOADS",
            "requests that come in slowly",
        )
        self._bytes = Places(
            limits.request_bytes, "TOO_MANY_REQUEST_BYTES", "bytes of large requests at work"
        )
        self._readers: dict[_Reader, None] = {}
        self._sweeping = False

    async def read(self, context: Any, call: OpenCall, leave: Callable[[], None]) -> Any:
        """The request's bytes, or EOF. If it does not come at once, the call `leave`s its place.

        Raises ResourceExhausted, and what gRPC raises; ends the call if the request is not whole in
        time.
        """
        await self._fast.enter(call.tenant)
        loop = asyncio.get_running_loop()
        reader = _Reader(call, leave, loop.time())
        self._readers[reader] = None
        if not self._sweeping:
            self._sweeping = True
            loop.call_later(_SWEEP_SECONDS, self._sweep, loop)
        try:
            return await context.read()
        finally:
            del self._readers[reader]
            if reader.slow:
                self._slow.leave(call)
            else:
                self._fast.leave(call.tenant)

    def hold(self, raw: Any, tenant: str) -> int:
        """Counts the bytes of a large request until `release`. Raises ResourceExhausted."""
        size = 0 if raw is grpc.aio.EOF or len(raw) <= LARGE else len(raw)
        if size and not self._bytes.try_enter(tenant, size):
            raise self._bytes.refusal(tenant)
        return size

    def release(self, tenant: str, size: int) -> None:
        if size:
            self._bytes.leave(tenant, size)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """One timer for all: a timer for each would cost more than all else here."""
        now = loop.time()
        for reader in list(self._readers):
            reader.sweeps += 1
            if now - reader.began >= READ_SECONDS:
                reader.call.end(_not_whole())
            elif reader.sweeps == _SLOW_SWEEPS:
                self._slow_down(reader)
        self._sweeping = bool(self._readers)
        if self._sweeping:
            loop.call_later(_SWEEP_SECONDS, self._sweep, loop)

    def _slow_down(self, reader: _Reader) -> None:
        call = reader.call
        try:
            self._slow.enter(call, "")
        except ResourceExhausted as refusal:
            call.end(refusal)
            return
        reader.slow = True
        self._fast.leave(call.tenant)
        reader.leave()


def _not_whole() -> ResourceExhausted:
    return ResourceExhausted(
        "REQUEST_NOT_WHOLE",
        f"the request was not whole within {READ_SECONDS:g} s",
        metadata={"limit": f"{READ_SECONDS:g}", "scope": "call"},
        retry_after=1.0,
    )
