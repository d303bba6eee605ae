"""Shows what others count in plain numbers, so that counting costs them nothing."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Literal, TypeAlias

from prometheus_client import CollectorRegistry, Counter, Gauge

_EVERY = 1.0
"""Seconds between two samples of a worker, whose page its parent shows."""

Read: TypeAlias = Callable[[], Mapping[tuple[str, ...], float]]
"""The present values, by the values of the labels."""
Mode: TypeAlias = Literal["livesum", "livemax"]
"""What becomes of the values of several workers."""


class Sampler:
    """Counters and gauges that are read when the page is, or once a second."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._counters: list[tuple[Counter, Read, dict[tuple[str, ...], float]]] = []
        """Each with what it was told last."""
        self._gauges: list[tuple[Gauge, Read, set[tuple[str, ...]]]] = []
        """Each with the labels that it has had."""

    def counter(self, name: str, what: str, read: Read, labels: Iterable[str] = ()) -> None:
        """Of numbers that only grow while the process lives."""
        self._counters.append(
            (Counter(name, what, tuple(labels), registry=self._registry), read, {})
        )

    def gauge(
        self, name: str, what: str, read: Read, labels: Iterable[str] = (), mode: Mode = "livesum"
    ) -> None:
        """Of numbers as they are; labels that are not there any more show 0."""
        gauge = Gauge(name, what, tuple(labels), registry=self._registry, multiprocess_mode=mode)
        self._gauges.append((gauge, read, set()))

    def sample(self) -> None:
        for counter, read, told in self._counters:
            for labels, value in read().items():
                child = counter.labels(*labels) if labels else counter
                child.inc(value - told.get(labels, 0.0))
                told[labels] = value
        for gauge, read, known in self._gauges:
            values = read()
            known.update(values)
            for labels in known:
                (gauge.labels(*labels) if labels else gauge).set(values.get(labels, 0.0))

    async def run(self) -> None:
        """Samples until cancelled."""
        while True:
            self.sample()
            await asyncio.sleep(_EVERY)
