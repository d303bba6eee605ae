"""What is shown of the numbers that everybody keeps; docs/operations.md explains each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from vwed_grpc.batching import Batcher
from vwed_grpc.cache.breaker import BreakerState
from vwed_grpc.cache.counters import CacheCounters
from vwed_grpc.cache.redis_client import RedisClient
from vwed_grpc.rpc.edge import Edge
from vwed_grpc.storage.database import Database
from vwed_grpc.telemetry.lag import Lag
from vwed_grpc.telemetry.sampler import Read, Sampler
from vwed_grpc.telemetry.waiting_runs import WaitingRuns
from vwed_grpc.watching.catch_up import CatchUp
from vwed_grpc.watching.wakeups import Wakeups
from vwed_grpc.writes.commit import Committer
from vwed_grpc.writes.condition import Condition
from vwed_grpc.writes.duties import Duties
from vwed_grpc.writes.pulse import Pulse

_NOW = "undelivered"
"""Of the cache's counters the one that is not counted since the start."""


@dataclass(frozen=True, slots=True)
class Shown:
    """All whose numbers are shown."""

    redis: RedisClient
    edge: Edge
    database: Database
    queues: Mapping[str, Batcher[str, Any, Any]]
    """Of writes, by their kind."""
    committer: Committer
    duties: Duties
    pulse: Pulse
    catch_up: CatchUp
    wakeups: Wakeups


def show(
    sampler: Sampler,
    of: Shown,
    *,
    calls: Mapping[tuple[str, ...], float],
    waiting: WaitingRuns,
    lag: Lag,
) -> None:
    """Has the sampler read all of them; `calls`: how many ended, by service, method and code."""
    sampler.counter(
        "vwed_calls_total",
        "Calls that ended, by method and code; those whose caller left are CANCELLED.",
        lambda: calls,
        ("service", "method", "code"),
    )
    _cache(sampler, of.redis)
    sampler.counter(
        "vwed_foreign_wakeups_total",
        "Messages that this service had not published on their channels: nobody heard them.",
        _one(lambda: of.wakeups.foreign),
    )
    _calls(sampler, of.edge)
    _connections(sampler, of.database)
    _duties(sampler, of.duties)
    sampler.gauge(
        "vwed_queued_writes",
        "What waits to be written with others or is being written: blocks, heartbeats, bytes.",
        lambda: {(kind,): queue.weight for kind, queue in of.queues.items()},
        ("kind",),
    )
    sampler.counter(
        "vwed_catch_up_reads_total",
        "Readings from the database for watchers that lag.",
        _one(lambda: of.catch_up.reads),
    )
    sampler.gauge(
        "vwed_catch_ups_waiting",
        "Readings for watchers that lag, waiting for their turn or under way.",
        _one(lambda: of.catch_up.waiting),
    )
    sampler.counter(
        "vwed_lease_expiries_total",
        "Leases that ran out: runs that lost their executor.",
        _one(lambda: of.committer.expired_leases),
    )
    sampler.counter(
        "vwed_lease_renewals_total",
        "How often all leases had their term anew, since nobody could renew them for a while.",
        _one(lambda: of.pulse.renewals),
    )
    sampler.gauge(
        "vwed_oldest_pending_run_seconds",
        "Age of the oldest run that waits for its first executor, of the tenants and task types"
        " where it is highest.",
        waiting.ages,
        ("tenant", "task_type"),
        mode="livemax",
    )
    sampler.gauge(
        "vwed_loop_lag_longest_seconds",
        "The latest that a timer ever went off.",
        _one(lambda: lag.longest),
        mode="livemax",
    )


def _one(read: Callable[[], float]) -> Read:
    return lambda: {(): read()}


def _cache(sampler: Sampler, redis: RedisClient) -> None:
    def read(name: str) -> Read:
        return _one(lambda: getattr(redis.counters, name))

    for counter in fields(CacheCounters):
        what, name = counter.metadata["help"], counter.name
        if name == _NOW:
            sampler.gauge(f"vwed_cache_{name}", what, read(name))
        else:
            sampler.counter(f"vwed_cache_{name}_total", what, read(name))
    sampler.gauge(
        "vwed_redis_breaker",
        "How many processes have their circuit breaker in a state: closed while Redis is in use.",
        lambda: {(one.name.lower(),): float(one is redis.state) for one in BreakerState},
        ("state",),
    )


def _calls(sampler: Sampler, edge: Edge) -> None:
    sampler.counter(
        "vwed_refused_calls_total",
        "Calls that met a limit, by its reason.",
        lambda: _labelled(edge.refused),
        ("reason",),
    )
    sampler.gauge(
        "vwed_open_calls",
        "Calls that are open, by class; waits are claims and streams.",
        lambda: _labelled(edge.open_calls()),
        ("class",),
    )
    sampler.gauge(
        "vwed_open_streams",
        "Of these the streams, by the class in which they work.",
        lambda: _labelled(edge.open_streams()),
        ("class",),
    )
    sampler.gauge(
        "vwed_queued_calls",
        "Of these those that wait for a place of their class.",
        lambda: _labelled(edge.queued_calls()),
        ("class",),
    )


def _labelled(values: Mapping[str, float]) -> Mapping[tuple[str, ...], float]:
    return {(label,): value for label, value in values.items()}


def _connections(sampler: Sampler, database: Database) -> None:
    queues = [(pool.purpose, pool.queues) for pool in database.pools]

    def read(number: str) -> Read:
        return lambda: {
            (purpose,): sum(getattr(queue, number) for queue in own) for purpose, own in queues
        }

    sampler.counter(
        "vwed_connection_waits_total",
        "Times that work of a kind had to wait for a connection to PostgreSQL.",
        read("waits"),
        ("pool",),
    )
    sampler.counter(
        "vwed_connection_wait_seconds_total",
        "How long it did, all together.",
        read("wait_seconds"),
        ("pool",),
    )
    sampler.gauge(
        "vwed_queued_connections",
        "How much work of a kind waits for a connection to PostgreSQL now.",
        read("queued"),
        ("pool",),
    )


def _duties(sampler: Sampler, duties: Duties) -> None:
    def read(number: Callable[[Condition], float]) -> Read:
        return lambda: {(name,): number(duty) for name, duty in duties.conditions.items()}

    sampler.counter(
        "vwed_duty_failures_total",
        "What failed of a duty: looks, turns of a tenant, single rows.",
        read(lambda duty: duty.failures),
        ("duty",),
    )
    sampler.gauge(
        "vwed_duty_failing_seconds",
        "For how long a duty has got nothing done although it tried; 0 while it is well.",
        read(lambda duty: duty.failing_seconds),
        ("duty",),
        mode="livemax",
    )
    sampler.gauge(
        "vwed_duty_last_success_seconds",
        "UNIX time at which a duty last did something, or found nothing to do.",
        read(lambda duty: duty.last_success),
        ("duty",),
        mode="livemax",
    )
