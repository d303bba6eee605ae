"""What this process counts, on a page that Prometheus reads, and people with curl.

A page of text needs no client library. Every process has its own: of several workers, the n-th
(from 0) shows its page n ports above the one that was asked for.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import fields
from itertools import chain
from typing import Protocol

from vwed_grpc.cache.breaker import BreakerState
from vwed_grpc.cache.counters import CacheCounters
from vwed_grpc.lag import Lag
from vwed_grpc.stores import CannotServeError
from vwed_grpc.writes.condition import Condition

_NOW = {"undelivered"}
"""Not counted since the start."""
_PATIENCE = 5.0
"""Seconds for a request to come."""


class Calls(Protocol):
    """What the edge knows of them."""

    @property
    def refused(self) -> Mapping[str, int]:
        """How many met a limit, by its reason."""

    def open_calls(self) -> Mapping[str, int]:
        """How many there are, by class."""


def page(
    counters: CacheCounters,
    state: BreakerState,
    lag: Lag,
    duties: Mapping[str, Condition],
    calls: Calls,
) -> str:
    """The cache's counters, the breaker's state, the loop's lag, duties and calls."""
    parts = _counters(counters), _states(state), _lag(lag), _conditions(duties), _calls(calls)
    return "\n".join([*chain(*parts), ""])


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
    name = "vwed_loop_lag_longest_seconds"
    yield f"# HELP {name} The latest that a timer ever went off."
    yield f"# TYPE {name} gauge"
    yield f"{name} {lag.longest:.6f}"


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


def _calls(calls: Calls) -> Iterator[str]:
    yield "# HELP vwed_refused_calls_total Calls that met a limit, by its reason."
    yield "# TYPE vwed_refused_calls_total counter"
    for reason, count in calls.refused.items():
        yield f'vwed_refused_calls_total{{reason="{reason}"}} {count}'
    yield "# HELP vwed_open_calls Calls that are open, by class; waits are claims and streams."
    yield "# TYPE vwed_open_calls gauge"
    for call_class, count in calls.open_calls().items():
        yield f'vwed_open_calls{{class="{call_class}"}} {count}'


@asynccontextmanager
async def showing(listen: str, text: Callable[[], str]) -> AsyncIterator[None]:
    """Answers every GET at `listen` (host:port) with the text as it then is, while entered.

    Raises CannotServeError.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(
            OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError
        ):
            async with asyncio.timeout(_PATIENCE):
                request = await reader.readuntil(b"\r\n\r\n")
                writer.write(_response(text()) if request.startswith(b"GET ") else _NOT_ALLOWED)
                await writer.drain()
        writer.close()

    host, _, port = listen.rpartition(":")
    try:
        server = await asyncio.start_server(answer, host.strip("[]") or None, int(port))
    except OSError as exc:
        raise CannotServeError(f"cannot show metrics at {listen}: {exc.strerror}") from exc
    async with server:
        yield


_NOT_ALLOWED = b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def _response(text: str) -> bytes:
    body = text.encode()
    head = (
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
