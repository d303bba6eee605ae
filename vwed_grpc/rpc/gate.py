"""Calls that arrive at the same time go on together.

What a call costs beside its own work is paid each time that the event loop, gRPC's threads and the
stores take turns. Calls that go on together send their headers, ask the stores and are answered in
the same turns, so with sixteen callers a read costs half of what one alone does.
"""

import asyncio
import time

QUIET_ROUNDS = 32
"""Rounds of the loop in which no call arrives, after which no more is waited for. On a busy server
they are other calls' work; a loop that has nothing to do is through with them in 0.1 ms."""
MOST_SECONDS = 0.01
"""However busy the loop is."""
MOST_CALLS = 64


class Gate:
    """Where calls wait for those that arrive with them."""

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[None]] = []
        self._seen = 0
        self._quiet = 0
        self._until = 0.0

    @property
    def is_waited_at(self) -> bool:
        return bool(self._waiting)

    def enter(self) -> asyncio.Future[None]:
        """Done when no more calls arrive, or enough have. A call that is cancelled just goes."""
        loop = asyncio.get_running_loop()
        opened = loop.create_future()
        self._waiting.append(opened)
        if len(self._waiting) == 1:
            self._seen, self._quiet, self._until = 0, 0, time.monotonic() + MOST_SECONDS
            loop.call_soon(self._look, loop)
        return opened

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """In each round of the loop, while calls wait."""
        here = len(self._waiting)
        self._quiet = self._quiet + 1 if here == self._seen else 0
        self._seen = here
        if here < MOST_CALLS and self._quiet < QUIET_ROUNDS and time.monotonic() < self._until:
            loop.call_soon(self._look, loop)
            return
        waiting, self._waiting = self._waiting, []
        for opened in waiting:
            if not opened.done():
                opened.set_result(None)
