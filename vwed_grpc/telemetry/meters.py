"""What is measured where it happens, as histograms of Prometheus's own library.

All else is counted by whoever does it, in plain numbers, and shown by `telemetry.figures`.
"""

from collections import Counter
from collections.abc import Callable
from typing import TypeAlias

from prometheus_client import CollectorRegistry, Histogram, disable_created_metrics

disable_created_metrics()  # type: ignore[no-untyped-call]  # it has no types; those series tell nothing here

Observe: TypeAlias = Callable[[float], None]
"""Takes one measured value."""
CallEnded: TypeAlias = Callable[[str, float], None]
"""Takes how a call ended, by its code's name, and after how many seconds."""

_CALL_SECONDS = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
)  # fmt: skip
_LAG_SECONDS = (
    0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0,
    5.0,
)  # fmt: skip
"""Close to each other around the 25 ms of the contract, section 7."""
_TAIL_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
_FLUSH_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


class Meters:
    """Those of one server."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.calls = Counter[tuple[str, ...]]()
        """How many ended, by service, method and code: those of the library cost each 1 µs."""
        self._call_seconds = Histogram(
            "vwed_call_seconds",
            "How long calls took that neither wait nor last, from their arrival to their answer.",
            ("service", "method"),
            buckets=_CALL_SECONDS,
            registry=registry,
        )
        self._flush_seconds = Histogram(
            "vwed_flush_seconds",
            "How long it took to write what callers asked for together, its announcement included.",
            ("kind",),
            buckets=_CALL_SECONDS,
            registry=registry,
        )
        self._flush_size = Histogram(
            "vwed_flush_size",
            "How many calls shared a transaction.",
            ("kind",),
            buckets=_FLUSH_SIZES,
            registry=registry,
        )
        lag = Histogram(
            "vwed_loop_lag_seconds",
            "How late timers went off: what held the event loop held every caller.",
            buckets=_LAG_SECONDS,
            registry=registry,
        )
        tail = Histogram(
            "vwed_tail_lag_seconds",
            "How long the events of a tenant had been there when its tailed log was read.",
            buckets=_TAIL_SECONDS,
            registry=registry,
        )
        self.loop_lag: Observe = lag.observe
        self.tail_lag: Observe = tail.observe

    def calls_of(self, service: str, method: str, *, timed: bool) -> CallEnded:
        """For the calls of one method; of those that are not `timed` the time says nothing."""
        seconds_of = self._call_seconds.labels(service, method).observe if timed else None
        calls = self.calls
        calls[service, method, "OK"] = 0

        def ended(code: str, seconds: float) -> None:
            calls[service, method, code] += 1
            if seconds_of is not None:
                seconds_of(seconds)

        return ended

    def flushes_of(self, kind: str) -> Callable[[int, float], None]:
        """For one kind of writes that share transactions: how many did, in how many seconds."""
        size_of = self._flush_size.labels(kind).observe
        seconds_of = self._flush_seconds.labels(kind).observe

        def flushed(size: int, seconds: float) -> None:
            size_of(size)
            seconds_of(seconds)

        return flushed
