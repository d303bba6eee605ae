"""Calls that are made again whenever they end."""

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from bench.frames import Connection

REST_SECONDS = 1.0
"""Before a call that was refused is made again, as RetryInfo asks for."""


@dataclass(slots=True)
class Count:
    """What came of the calls of one kind."""

    answered: int = 0
    refused: int = 0
    messages: int = 0
    mib: float = 0.0


class Again:
    """One caller, or watcher, of a crowd."""

    def __init__(
        self, start: Callable[["Again"], object], count: Count, pause: float = 0.0
    ) -> None:
        self.last = b""
        """The last message of any of its calls."""
        self.heard = False
        """The call under way has been answered, if only in part."""
        self.due = 0.0
        self._start = start
        self._count = count
        self._pause = pause

    def begin(self) -> None:
        self.heard, self.due = False, 0.0
        self._start(self)

    def message(self, body: bytes) -> None:
        self.last, self.heard = body, True
        self._count.messages += 1
        self._count.mib += len(body) / 2**20

    def end(self) -> None:
        self._count.answered += self.heard
        self._count.refused += not self.heard
        self.due = time.perf_counter() + (self._pause if self.heard else REST_SECONDS)


class Crowd:
    """All of them, by kind."""

    def __init__(self, share: float = 1.0, pause: float = 0.0) -> None:
        """`share` of a whole one; `pause`: seconds between an answer and the next call."""
        self.wires = list[Connection]()
        self.counts: dict[str, Count] = defaultdict(Count)
        self._callers: list[Again] = []
        self._share = share
        self._pause = pause

    def some(self, whole: int) -> range:
        """As many of `whole` callers as there are to be, one at least."""
        return range(max(round(whole * self._share), 1))

    def add(self, kind: str, start: Callable[[Again], object]) -> None:
        self._callers.append(Again(start, self.counts[kind], self._pause))

    def begin(self) -> None:
        for caller in self._callers:
            caller.begin()

    def go_on(self) -> None:
        """Makes the calls again whose time has come."""
        now = time.perf_counter()
        for caller in self._callers:
            if 0 < caller.due <= now:
                caller.begin()
