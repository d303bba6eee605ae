"""What a call holds while it works, and while it waits."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from vwed_grpc.domain.errors import disk_full
from vwed_grpc.rpc.call_classes import CallClass, Rule
from vwed_grpc.rpc.limits import Limits
from vwed_grpc.rpc.places import Places
from vwed_grpc.rpc.reading import Reading
from vwed_grpc.rpc.waits import OpenCall, Waits

_QUEUE_OF_LIVE = 4_096
"""With 64 KiB each that gRPC may hold of their requests: 256 MiB."""
_PATIENCE_OF_LIVE = 2.0
_QUEUE_OF_BULK = 1_024
_QUEUE_OF_FIGURES = 64
_PATIENCE = 5.0
"""Seconds: as long as PostgreSQL may work on one statement (VWED_STATEMENT_TIMEOUT)."""


class Admission:
    """The limits of a process, by class."""

    def __init__(self, limits: Limits) -> None:
        live = Places(
            limits.live,
            "TOO_MANY_LIVE_CALLS",
            "live calls at work",
            queue=_QUEUE_OF_LIVE,
            patience=_PATIENCE_OF_LIVE,
        )
        self.reserve = Places(
            limits.reserve,
            "TOO_MANY_URGENT_CALLS",
            "heartbeats, reports and finishes at work",
            queue=_QUEUE_OF_LIVE,
            patience=_PATIENCE_OF_LIVE,
        )
        self.places = {
            CallClass.LIVE: live,
            CallClass.BULK: Places(
                limits.bulk,
                "TOO_MANY_BULK_CALLS",
                "bulk calls at work",
                queue=_QUEUE_OF_BULK,
                patience=_PATIENCE,
            ),
            CallClass.FIGURES: Places(
                limits.figures,
                "TOO_MANY_FIGURES_CALLS",
                "figures calls at work",
                queue=_QUEUE_OF_FIGURES,
                patience=_PATIENCE,
            ),
        }
        self.waits = Waits(
            limits.waits, limits.waits_of_connection, "TOO_MANY_WAITS", "calls that wait"
        )
        self.incoming_streams = Waits(
            limits.incoming_streams,
            limits.incoming_streams,
            "TOO_MANY_INCOMING_STREAMS",
            "streams of requests",
        )
        self.reading = Reading(limits)
        self.disk_is_full = False
        """While it is, what grows is refused."""

    async def enter(self, call_class: CallClass, tenant: str) -> Places:
        """Takes a place of the class, and answers where: it is given back there.

        What is urgent takes one of the reserve, else one of the others that is free. When there is
        none it waits for the reserve, which nothing else can take. Raises ResourceExhausted.
        """
        if call_class is not CallClass.URGENT:
            places = self.places[call_class]
            await places.enter(tenant)
            return places
        if self.reserve.try_enter(tenant):
            return self.reserve
        live = self.places[CallClass.LIVE]
        if live.try_enter(tenant):
            return live
        await self.reserve.enter(tenant)
        return self.reserve


class Standing:
    """What one call holds of them."""

    def __init__(self, admission: Admission, rule: Rule, call: OpenCall, context: Any) -> None:
        self._admission = admission
        self._rule = rule
        self._call = call
        self._context = context
        self._place: Places | None = None
        self._bytes = 0
        self._waits: Waits | None = None

    async def enter(self) -> None:
        """Takes a place of the call's class, unless it has one. Raises ResourceExhausted."""
        if self._admission.disk_is_full and self._rule.grows:
            raise disk_full()
        if self._place is None:
            self._place = await self._admission.enter(self._rule.call_class, self._call.tenant)

    def leave(self) -> None:
        """Gives the place back, if the call has one."""
        if self._place is not None:
            self._place.leave(self._call.tenant)
            self._place = None

    def close(self) -> None:
        """Gives all back."""
        self.leave()
        self._admission.reading.release(self._call.tenant, self._bytes)
        if self._waits is not None:
            self._waits.leave(self._call)

    async def admit(self) -> Any:
        """The call's one request, or EOF, once there is a place for it; None for a stream of them.

        A call whose request does not come at once loses its place meanwhile. Raises
        ResourceExhausted, also for a request that comes too slowly, or is too much beside all
        others, and what gRPC raises.
        """
        if self._rule.lasts:
            self._last(
                self._admission.incoming_streams if self._rule.streams_in else self._admission.waits
            )
        if self._rule.streams_in:
            return None
        await self.enter()
        reading = self._admission.reading
        raw = await reading.read(self._context, self._call, self.leave)
        if self._rule.lasts:
            self.leave()
        else:
            await self.enter()
            self._bytes = reading.hold(raw, self._call.tenant)
        return raw

    @asynccontextmanager
    async def waiting(self) -> AsyncIterator[None]:
        """Leaves the call's place for as long as it only waits. Raises ResourceExhausted."""
        self.leave()
        self._last(self._admission.waits)
        try:
            yield
        finally:
            self._admission.waits.leave(self._call)
        await self.enter()

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Has a place for one piece of the work of a call that lasts. Raises ResourceExhausted."""
        await self.enter()
        try:
            yield
        finally:
            self.leave()

    def _last(self, waits: Waits) -> None:
        waits.enter(self._call, self._context.peer())
        self._waits = waits
