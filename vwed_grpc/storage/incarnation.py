"""Which copy of the data the database holds, and what this process takes it for.

A restore makes another copy, a failover another timeline of the same. What was cached, and where
readers stood, is of one incarnation; so a server must know when there is another, and must not
answer from memory while it does not know.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import TypeVar

from vwed_grpc.domain.errors import NotFound, OutOfRange, Unavailable

T = TypeVar("T")

CONFIRMED_SECONDS = 2.0
"""So long after a beat nothing can have been restored, or written elsewhere after a failover: both
wait longer, see HOLD_SECONDS."""
HOLD_SECONDS = 2.5
"""How long a new timeline takes no writes, and a restore takes none before it is seen."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """Where a timeline began."""

    xact: int
    """None of its transactions has a lower number."""
    lsn: int | None
    """What was in the log up to here is in it; None: that is not known."""


@dataclass(frozen=True, slots=True)
class Incarnation:
    """A copy of the data, and a timeline of it."""

    place: str
    """The server's data directory and the database in it."""
    relation: int
    """The number of a table: another one where the tables were made anew."""
    id: str
    """A random one, which a restore changes."""
    timeline: int
    beginnings: Mapping[int, Beginning]
    """Of this timeline and of those that led to it, as far as they are known."""
    seal_key: bytes = field(repr=False)
    """The secret by which its servers know what they have written to Redis (`cache.seal`)."""

    @property
    def copy(self) -> str:
        """The same on all timelines of a copy of the data."""
        return f"{self.place}-{self.relation:x}-{self.id}"

    def __str__(self) -> str:
        return f"{self.copy}-{self.timeline:x}"

    def resumed(self, timeline: int, xact: int, lsn: int | None) -> int | None:
        """Where a reader of an earlier timeline goes on here; None: it may have seen what is lost.

        It had seen everything below transaction `xact`, and nothing that came into the log after
        `lsn`.
        """
        if timeline == self.timeline:
            return xact
        later = sorted(number for number in self.beginnings if number > timeline)
        if timeline not in self.beginnings or not later:
            return None
        first = self.beginnings[later[0]]
        if lsn is None or first.lsn is None or lsn > first.lsn:
            return None
        # Numbers that were given out and never reached the other server are given out again there.
        return min(xact, first.xact)


def changed() -> Unavailable:
    """What ends calls that began with what was there before."""
    return Unavailable(
        "STORE_CHANGED", "the store was restored or has failed over", retry_after=0.1
    )


class CurrentIncarnation:
    """What this process takes the database for."""

    def __init__(self) -> None:
        self._value: Incarnation | None = None
        self._until = 0.0
        self._said = asyncio.Event()
        self._listeners: list[Callable[[], None]] = []

    @property
    def value(self) -> Incarnation:
        """Raises RuntimeError before the first transaction has found out."""
        if self._value is None:
            raise RuntimeError("the database was not asked yet which copy of the data it holds")
        return self._value

    @property
    def known(self) -> Incarnation | None:
        """As `value`; None before the first transaction has found out."""
        return self._value

    @property
    def is_confirmed(self) -> bool:
        """Whether it is surely still so; else nothing that was remembered may be told."""
        # Not the loop's clock: that stands still while the process does.
        return monotonic() < self._until

    async def confirmed(self) -> None:
        """Returns once it is confirmed again."""
        while not self.is_confirmed:
            self._said.clear()
            await self._said.wait()

    async def still(self, read: AsyncIterator[T]) -> AsyncIterator[T]:
        """What is read of one incarnation, as long as that is surely the present one.

        Raises Unavailable STORE_CHANGED, also in place of what the other one lacks.
        """
        began = self.value
        try:
            async for item in read:
                await self._stays(began)
                yield item
        except (NotFound, OutOfRange):
            await self._stays(began)
            raise

    async def _stays(self, began: Incarnation) -> None:
        if not self.is_confirmed:
            await self.confirmed()
        if self._value is not began:
            raise changed()

    def confirm(self, incarnation: Incarnation, since: float) -> None:
        """A commit that was sent after `since`, by `monotonic`, found the database to be this."""
        if incarnation is self._value:
            self._until = max(self._until, since + CONFIRMED_SECONDS)
            self._said.set()

    def change(self, incarnation: Incarnation) -> None:
        """Calls the listeners, unless it is the first that is known."""
        first = self._value is None
        self._value = incarnation
        self._until = 0.0
        for listener in () if first else self._listeners:
            listener()

    def on_change(self, listener: Callable[[], None]) -> None:
        """The listener is called after each change but the first."""
        self._listeners.append(listener)
