"""Where code waits before it begins a block: for the end of a pause, for room, for its lease."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from vwed.client.executor.lease import Lease
from vwed.client.executor.notifier import Notifier
from vwed.client.executor.reports import Reports
from vwed.client.executor.stopping import StopReason

_BLOCKS_A_TURN = 64
"""They take about 2 ms."""


class OpenBlock(Protocol):
    """A block that has begun and not ended."""

    open_children: int
    """How many blocks that are nested in it are open."""

    @property
    def parent(self) -> "OpenBlock | None": ...


class BlockEntry:
    def __init__(self, lease: Lease, reports: Reports, look: Callable[[], None]) -> None:
        """`look` asks the service how the run is, soon."""
        self.pausing = asyncio.Event()
        """The run is to stand; code may stop in mid-motion for it."""
        self.changed = Notifier()
        """Rings when what code waits for may have come."""
        self.closed: StopReason | None = None
        """No block of the run begins any more."""
        self._lease = lease
        self._reports = reports
        self._look = look
        self._begun = 0
        self._open: set[OpenBlock] = set()
        self._standing: list[OpenBlock | None] = []
        """The blocks in which a branch of the code stands, None outside of all."""

    def is_turn_over(self) -> bool:
        """Whether so many blocks have begun that others on the event loop are to have a turn."""
        self._begun = (self._begun + 1) % _BLOCKS_A_TURN
        return self._begun == 0

    def is_open(self) -> bool:
        """Whether a block may begin this very moment."""
        return not (
            self.closed is not None
            or self.pausing.is_set()
            or self._reports.is_full
            or not self._lease.is_valid()
        )

    async def wait(self, inside: OpenBlock | None) -> None:
        """Until a block may begin; raises CancelledError if none may, ever."""
        while not self.is_open():
            if self.closed is not None:
                raise asyncio.CancelledError(self.closed.value)
            if self.pausing.is_set():
                await self._stand(inside)
            else:
                if not self._lease.is_valid():
                    self._look()
                await self.changed.wait()

    async def _stand(self, inside: OpenBlock | None) -> None:
        self._standing.append(inside)
        try:
            self.look_if_all_stand()
            while self.pausing.is_set() and self.closed is None:
                await self.changed.wait()
        finally:
            self._standing.remove(inside)

    def pause(self) -> None:
        self.pausing.set()
        self.changed.ring()

    def resume(self) -> None:
        self.pausing.clear()
        self.changed.ring()

    def close(self, reason: StopReason) -> None:
        self.closed = reason
        self.changed.ring()

    def begin(self, block: OpenBlock) -> None:
        self._open.add(block)
        if block.parent is not None:
            block.parent.open_children += 1

    def end(self, block: OpenBlock) -> None:
        self._open.discard(block)
        if block.parent is not None:
            block.parent.open_children -= 1
        self.look_if_all_stand()

    def look_if_all_stand(self) -> None:
        if self.may_say_paused():
            self._look()

    def may_say_paused(self) -> bool:
        """Whether the run stands, and the service knows all that was before.

        No block is in motion then: in each one a branch stands, or a block below it is open.
        """
        return (
            self.pausing.is_set()
            and bool(self._standing)
            and self._reports.is_empty
            and all(block.open_children or block in self._standing for block in self._open)
        )
