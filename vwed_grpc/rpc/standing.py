"""What one call holds of the server's limits, while it works and while it waits."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from vwed_grpc.domain.errors import disk_full
from vwed_grpc.loop.offload import LARGE
from vwed_grpc.rpc.admission import Terms
from vwed_grpc.rpc.reading import Reader
from vwed_grpc.rpc.waits import Waits

if TYPE_CHECKING:
    from vwed_grpc.rpc.expiry import Expiry
    from vwed_grpc.rpc.places import Places


class Standing(Reader):
    """An open call, and what it holds. A read that is served from the cache comes through here."""

    __slots__ = ("_bytes", "_context", "_place", "_waits", "expiry", "terms")

    def __init__(self, terms: Terms, context: Any, task: asyncio.Task[Any], tenant: str) -> None:
        # All at once: three constructors, one in the other, would cost each call a microsecond.
        self.task = task
        self.tenant = tenant
        self.ended = None
        self.slow = False
        self.sweeps = 0
        self.terms = terms
        self._context = context
        self._place: Places | None = None
        self._bytes = 0
        self._waits: Waits | None = None
        self.expiry: Expiry | None = None
        """What ends it with its caller's token."""

    @property
    def counted_as(self) -> str:
        """Its class, or "waits"."""
        return self.terms.call_class.value if self._waits is None else "waits"

    def waits_in(self, waits: Waits) -> bool:
        """Whether it is counted there."""
        return self._waits is waits

    async def enter(self) -> None:
        """Takes a place of the call's class, unless it has one. Raises ResourceExhausted."""
        if not self._try_enter():
            first = self.terms.places[0]
            await first.enter(self.tenant)
            self._place = first

    def _try_enter(self) -> bool:
        """The first that is free. Raises ResourceExhausted for what has no room on the disk."""
        if self._place is None:
            if self.terms.disk is not None and self.terms.disk.is_full:
                raise disk_full()
            for places in self.terms.places:
                if places.try_enter(self.tenant):
                    self._place = places
                    return True
            return False
        return True

    def leave(self) -> None:
        """Gives the place back, if the call has one."""
        if self._place is not None:
            self._place.leave(self.tenant)
            self._place = None

    def close(self) -> None:
        """Gives all back."""
        if self.expiry is not None:
            self.expiry.cancel()
        self.leave()
        if self._bytes:
            self.terms.large.leave(self.tenant, self._bytes)
        if self._waits is not None:
            self._waits.leave(self)

    async def admit(self) -> Any:
        """The call's one request, or EOF, once there is a place for it; None for a stream of them.

        A call whose request does not come at once loses its place meanwhile. Raises
        ResourceExhausted, also for a request that comes too slowly, or is too much beside all
        others, and what gRPC raises.
        """
        terms = self.terms
        if terms.lasting is not None:
            self._last(terms.lasting)
            if terms.streams_in:
                return None
        if not self._try_enter():
            await self.enter()
        raw = await terms.reading.read(self, self._context)
        if terms.lasting is not None:
            self.leave()
            return raw
        if self._place is None:  # it came slowly
            await self.enter()
        if raw.__class__ is bytes and len(raw) > LARGE:
            self._hold(len(raw))
        return raw

    @asynccontextmanager
    async def waiting(self) -> AsyncIterator[None]:
        """Leaves the call's place for as long as it only waits. Raises ResourceExhausted."""
        self.leave()
        self._last(self.terms.waits)
        try:
            yield
        finally:
            self.terms.waits.leave(self)
            self._waits = None
        await self.enter()

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Has a place for one piece of the work of a call that lasts. Raises ResourceExhausted."""
        await self.enter()
        try:
            yield
        finally:
            self.leave()

    async def go_on_among_figures(self) -> None:
        """Leaves the call's place for one of the figures. Raises ResourceExhausted."""
        self.leave()
        figures = self.terms.figures
        await figures.enter(self.tenant)
        self._place = figures

    def _hold(self, size: int) -> None:
        """Counts a large request until the call ends. Raises ResourceExhausted."""
        if not self.terms.large.try_enter(self.tenant, size):
            raise self.terms.large.refusal(self.tenant)
        self._bytes = size

    def _last(self, waits: Waits) -> None:
        waits.enter(self, self._context.peer())
        self._waits = waits
