"""One watched run in this process: its newest events, shared by all who watch it.

A watcher that is up to date is fed from here; one that lags reads the database until it has caught
up, so it costs no memory and delays nobody.
"""

import time
from collections import deque
from collections.abc import Sequence

from vwed_grpc.storage.events import Event
from vwed_grpc.watching.events import Batch, batch
from vwed_grpc.watching.sleep import Sleepers

MAX_EVENTS = 1000
MAX_BYTES = 512 * 1024
KEPT_SECONDS = 5.0
"""Watchers that are up to date take an event at once; what stands longer serves nobody."""


class Topic:
    """A contiguous run of events up to `end`, and how far the run is known to be (`newest`)."""

    def __init__(self) -> None:
        self.watchers = 0
        self.end = -1
        """The last seq that is (or was) held; -1: nothing is known yet."""
        self.newest = -1
        self._events: deque[tuple[float, Event]] = deque()
        self._bytes = 0
        self._framed: dict[tuple[int, bool], Batch] = {}
        self.sleepers = Sleepers()
        """Those of its watchers: every change wakes them."""

    def begin(self, seq: int) -> None:
        """The first watcher found the run at `seq`: from there on events are held."""
        if self.end < 0:
            self.end = seq
        self.learn(seq)

    def learn(self, seq: int) -> None:
        """The run has events up to `seq`."""
        if seq > self.newest:
            self.newest = seq
            self.sleepers.wake()

    def extend(self, events: Sequence[Event]) -> None:
        """New events of the run; what is known is passed over, what leaves a gap only learned."""
        fresh = [e for e in events if e.seq > self.end]
        if fresh and self.end >= 0 and fresh[0].seq == self.end + 1:
            now = time.monotonic()
            self._events.extend((now, e) for e in fresh)
            self._bytes += sum(e.size for e in fresh)
            self.end = fresh[-1].seq
            self._framed.clear()
            self._trim(0)
        if fresh:
            self.learn(fresh[-1].seq)
            self.sleepers.wake()

    def pass_over(self, seq: int) -> None:
        """What was said to exist up to `seq` is gone: who has not had it is told so by the log."""
        self._events.clear()
        self._framed.clear()
        self._bytes = 0
        self.end = seq
        self.sleepers.wake()

    def after(self, seq: int, *, full: bool) -> Batch | None:
        """What is held after `seq`, made once for all watchers who stand there; None: not held."""
        if not self._events or seq >= self.end or seq + 1 < self._events[0][1].seq:
            return None
        key = (seq, full)
        framed = self._framed.get(key)
        if framed is None:
            following = [event for _, event in self._events if event.seq > seq]
            framed = self._framed[key] = batch(following, full=full)
        return framed

    def trim(self) -> None:
        """Drops what is older than KEPT_SECONDS."""
        self._trim(time.monotonic() - KEPT_SECONDS)

    def _trim(self, before: float) -> None:
        while self._events and (
            self._events[0][0] < before or len(self._events) > MAX_EVENTS or self._bytes > MAX_BYTES
        ):
            _, event = self._events.popleft()
            self._bytes -= event.size
            self._framed.clear()
