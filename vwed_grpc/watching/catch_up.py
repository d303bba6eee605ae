"""Reading for watchers that lag: few at a time, and once for all who stand at the same place."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from vwed_grpc.batching import Asked, Batcher
from vwed_grpc.domain.errors import ResourceExhausted
from vwed_grpc.loop.pacing import Pace

T = TypeVar("T")

AT_ONCE = 2
"""Readings of all tenants, one of each: what is live keeps the other connections."""
MOST_WAITING, MOST_OF_TENANT = 8192, 4096
"""Readings that wait for their turn. A watch that finds more ends, and its client resumes it."""
RETRY_SECONDS = 2.0
KEPT_SECONDS = 2.0
KEPT_BYTES = 16 << 20
"""What was read is kept for those who come next, at most so long and so much of it."""

Load = Callable[[], Coroutine[Any, Any, Any]]


@dataclass(eq=False, slots=True)
class _Reading:
    """One under way, and how many wait for it."""

    future: asyncio.Future[Any]
    waiting: int = 0


class CatchUp:
    """Shared by all watchers of a process."""

    def __init__(self, pace: Pace) -> None:
        self.reads = 0
        """How many were done."""
        self._pace = pace
        self._turns: Batcher[str, Load, Any] = Batcher(self._load, most=1, at_once=AT_ONCE)
        self._under_way: dict[Hashable, _Reading] = {}
        self._kept: dict[Hashable, tuple[Any, int]] = {}
        self._bytes = 0

    @property
    def waiting(self) -> int:
        """Readings that wait for their turn, or are under way."""
        return self._turns.weight

    async def ask(
        self,
        tenant: str,
        key: Hashable,
        load: Callable[[], Coroutine[Any, Any, T]],
        size: Callable[[T], int],
    ) -> T:
        """What `load` answers, or answered to another who asked for the same a moment ago.

        Raises what `load` does, and ResourceExhausted if too many wait for their turn. `size` is in
        bytes; what has none is not kept.
        """
        place = tenant, key
        if place in self._kept:
            return self._kept[place][0]  # type: ignore[no-any-return]  # it was `load` of this key
        reading = self._under_way.get(place)
        if reading is None:
            reading = self._under_way[place] = self._begin(tenant, place, load, size)
        reading.waiting += 1
        try:
            return await asyncio.shield(reading.future)
        finally:
            reading.waiting -= 1
            if not reading.waiting:
                reading.future.cancel()  # if it is still under way, nobody is left to want it
                self._forget(place, reading)

    def _begin(
        self, tenant: str, place: Hashable, load: Load, size: Callable[[Any], int]
    ) -> _Reading:
        if self._turns.weight_of(tenant) >= MOST_OF_TENANT:
            raise _too_many("tenant", MOST_OF_TENANT)
        if self._turns.weight >= MOST_WAITING:
            raise _too_many("process", MOST_WAITING)
        reading = _Reading(asyncio.ensure_future(self._turns.ask(tenant, load)))

        def done(future: asyncio.Future[Any]) -> None:
            is_wanted = self._forget(place, reading)
            if not future.cancelled() and future.exception() is None and is_wanted:
                self._keep(place, future.result(), size(future.result()))

        reading.future.add_done_callback(done)
        return reading

    def forget(self) -> None:
        """Nobody who comes next is answered with what was read, or is being read."""
        self._under_way.clear()
        for place in list(self._kept):
            self._drop(place)

    def _forget(self, place: Hashable, reading: _Reading) -> bool:
        """Whether others could still have had it."""
        is_shared = self._under_way.get(place) is reading
        if is_shared:
            del self._under_way[place]
        return is_shared

    def _keep(self, place: Hashable, found: Any, size: int) -> None:
        if not size:
            return
        self._kept[place] = found, size
        self._bytes += size
        asyncio.get_running_loop().call_later(KEPT_SECONDS, self._drop, place)
        while self._bytes > KEPT_BYTES:
            self._drop(next(iter(self._kept)))

    def _drop(self, place: Hashable) -> None:
        _, size = self._kept.pop(place, (None, 0))
        self._bytes -= size

    async def _load(self, _: str, asked: Sequence[Asked[Load, Any]]) -> Sequence[Any]:
        self.reads += len(asked)
        return [await self._pace.run(one.question()) for one in asked]


def _too_many(scope: str, limit: int) -> ResourceExhausted:
    return ResourceExhausted(
        "TOO_MANY_CATCHING_UP",
        f"watches that catch up: the limit of a {scope} is {limit:,}",
        metadata={"limit": str(limit), "scope": scope},
        retry_after=RETRY_SECONDS,
    )
