"""A watcher's sleep: until it is woken, or its time has come."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Sleep:
    """Of one watcher. Being woken while awake counts: the next sleep ends at once.

    The timer is set once and not moved with every sleep: when it goes off before the time, it is
    set for the rest. To move one costs a watcher as much as being woken.
    """

    def __init__(self) -> None:
        self._woken = asyncio.Event()
        self._until = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def until(self, time: float) -> None:
        """Returns when woken, or at this time by the running loop's clock."""
        self._until = time
        if self._timer is not None and time < self._timer.when():
            self.end()
        if self._timer is None:
            self._set_timer()
        await self._woken.wait()
        self._woken.clear()

    def wake(self) -> None:
        self._woken.set()

    def end(self) -> None:
        """No more sleeps."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self) -> None:
        self._timer = asyncio.get_running_loop().call_at(self._until, self._go_off)

    def _go_off(self) -> None:
        self._timer = None
        if asyncio.get_running_loop().time() < self._until:
            self._set_timer()
        else:
            self._woken.set()


class Sleepers:
    """The sleeps of all who watch one thing."""

    def __init__(self) -> None:
        self._sleeps: set[Sleep] = set()

    def __len__(self) -> int:
        return len(self._sleeps)

    @contextmanager
    def one(self) -> Iterator[Sleep]:
        """A watcher's, while it watches."""
        sleep = Sleep()
        self._sleeps.add(sleep)
        try:
            yield sleep
        finally:
            self._sleeps.discard(sleep)
            sleep.end()

    def wake(self) -> None:
        for sleep in self._sleeps:
            sleep.wake()
