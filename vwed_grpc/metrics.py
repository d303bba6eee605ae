"""What this process counts, on a page that Prometheus reads, and people with curl.

A page of text needs no client library.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields

from vwed_grpc.cache.breaker import BreakerState
from vwed_grpc.cache.counters import CacheCounters
from vwed_grpc.lag import Lag
from vwed_grpc.writes.condition import Condition

_NOW = {"undelivered"}
"""Not counted since the start."""
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def page(
    counters: CacheCounters, state: BreakerState, lag: Lag, duties: Mapping[str, Condition]
) -> str:
    """The cache's counters, the breaker's state, the loop's lag and the duties, for Prometheus."""
    return "\n".join([*_counters(counters), *_states(state), *_lag(lag), *_conditions(duties), ""])


def _counters(counters: CacheCounters) -> Iterator[str]:
    for counter in fields(counters):
        kind = "gauge" if counter.name in _NOW else "counter"
        name = f"vwed_cache_{counter.name}" + ("_total" if kind == "counter" else "")
        yield f"# HELP {name} {counter.metadata['help']}"
        yield f"# TYPE {name} {kind}"
        yield f"{name} {getattr(counters, counter.name)}"


def _states(state: BreakerState) -> Iterator[str]:
    name = "vwed_redis_breaker"
    yield f"# HELP {name} 1 for the state of the circuit breaker: closed while Redis is in use."
    yield f"# TYPE {name} gauge"
    for one in BreakerState:
        yield f'{name}{{state="{one.name.lower()}"}} {int(one is state)}'


def _lag(lag: Lag) -> Iterator[str]:
    name = "vwed_loop_lag_seconds"
    yield f"# HELP {name} How late timers went off: what held the event loop held every caller."
    yield f"# TYPE {name} histogram"
    for bound, looks in lag.within():
        yield f'{name}_bucket{{le="{bound:g}"}} {looks}'
    yield f'{name}_bucket{{le="+Inf"}} {lag.looks}'
    yield f"{name}_sum {lag.seconds:.6f}"
    yield f"{name}_count {lag.looks}"


_OF_DUTIES: dict[str, tuple[str, str, Callable[[Condition], float]]] = {
    "failures_total": (
        "counter",
        "What failed of a duty: looks, turns of a tenant, single rows.",
        lambda duty: duty.failures,
    ),
    "failing_seconds": (
        "gauge",
        "For how long a duty has got nothing done although it tried; 0 while it is well.",
        lambda duty: duty.failing_seconds,
    ),
    "last_success_seconds": (
        "gauge",
        "UNIX time at which a duty last did something, or found nothing to do.",
        lambda duty: duty.last_success,
    ),
}


def _conditions(duties: Mapping[str, Condition]) -> Iterator[str]:
    for metric, (kind, meaning, value) in _OF_DUTIES.items():
        name = f"vwed_duty_{metric}"
        yield f"# HELP {name} {meaning}"
        yield f"# TYPE {name} {kind}"
        for duty, condition in duties.items():
            yield f'{name}{{duty="{duty}"}} {value(condition):.3f}'
