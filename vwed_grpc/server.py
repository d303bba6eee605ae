"""The composition root: opens everything in one exit stack, wires it, serves, drains."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import grpc
import sqlalchemy as sa
from vwed.v1 import cache_service_pb2, record_service_pb2, task_def_service_pb2

from vwed_grpc import metrics, pages, probes
from vwed_grpc.background import keep_going
from vwed_grpc.cache.client import client
from vwed_grpc.cache.keys import GENERATION, KeySpace
from vwed_grpc.cache.local import LocalVersions
from vwed_grpc.cache.read_through import ReadThrough
from vwed_grpc.cache.redis_client import RedisClient
from vwed_grpc.lag import Lag
from vwed_grpc.listening import check_address
from vwed_grpc.rpc.edge import Edge
from vwed_grpc.rpc.health import Health
from vwed_grpc.rpc.introspection import add_introspection
from vwed_grpc.rpc.limits import Limits
from vwed_grpc.rpc.registration import generic_handlers
from vwed_grpc.services.blocks import BlockRecords
from vwed_grpc.services.cache_reads import CacheReads
from vwed_grpc.services.cache_writes import CacheWrites
from vwed_grpc.services.definition_history import DefinitionHistory
from vwed_grpc.services.definition_reads import DefinitionReads
from vwed_grpc.services.definitions import TaskDefs
from vwed_grpc.services.executor_verbs import ExecutorVerbs
from vwed_grpc.services.figures import Figures
from vwed_grpc.services.operator_verbs import OperatorVerbs
from vwed_grpc.services.runs import TaskRecords
from vwed_grpc.services.templates import TaskTemplates
from vwed_grpc.services.transfer import Transfer
from vwed_grpc.services.watches import History
from vwed_grpc.settings import Settings
from vwed_grpc.storage.database import Database
from vwed_grpc.stores import CannotServeError, open_stores
from vwed_grpc.watching.catch_up import CatchUp
from vwed_grpc.watching.hub import Hub
from vwed_grpc.watching.log import TailedLogs
from vwed_grpc.watching.wakeups import Wakeups
from vwed_grpc.worker_reports import reports_to_parent
from vwed_grpc.writes import retention
from vwed_grpc.writes.claims import Claims
from vwed_grpc.writes.commit import Committer
from vwed_grpc.writes.duties import Duties
from vwed_grpc.writes.entry_writer import EntryWriter
from vwed_grpc.writes.expiry import ENTRIES, KEYS, LEASES
from vwed_grpc.writes.heartbeats import Heartbeats
from vwed_grpc.writes.pulse import Pulse
from vwed_grpc.writes.writer import Writer

MAX_MESSAGE_BYTES = 4 << 20
"""Of a request, and of an answer: the default limit of every client."""
SERVER_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # Without the probe a stream that nobody reads holds at most the look-ahead, not 8 MiB and more.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 64 << 10),
    # Beyond these gRPC cancels calls without a word, from the first on at random; the edge refuses
    # with details long before.
    ("grpc.server.max_pending_requests", 20_000),
    ("grpc.server.max_pending_requests_hard_limit", 40_000),
    # Twice the waits of a connection: its other calls always get through.
    ("grpc.max_concurrent_streams", 10_000),
    # Clients may ping every 10 s (a second less for their clocks), with and without calls.
    ("grpc.http2.min_ping_interval_without_data_ms", 9_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # A peer that is silent for a minute is asked, and dropped 20 s later; grpc.keepalive_timeout_ms
    # does nothing in this version.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.http2.ping_timeout_ms", 20_000),
    # A connection without a call costs memory all the same; its client makes another when it calls.
    ("grpc.max_connection_idle_ms", 30 * 60_000),
    # A client looks for new replicas when it connects anew. Calls and streams that are there go on
    # where they are, however long; new ones take the new connection.
    ("grpc.max_connection_age_ms", 15 * 60_000),
    # A peer that connects and says nothing counts until the time-out.
    ("grpc.max_allowed_incoming_connections", 10_000),
    ("grpc.server_handshake_timeout_ms", 10_000),
)
"""Of gRPC's core, which acts before the edge hears of a call."""
VERSIONS_BYTES = 64 << 20
"""What immutable versions may take in the process."""

DEFINITIONS = task_def_service_pb2.DESCRIPTOR.services_by_name["TaskDefService"].full_name
RECORDS = record_service_pb2.DESCRIPTOR.services_by_name["RecordService"].full_name
CACHE = cache_service_pb2.DESCRIPTOR.services_by_name["CacheService"].full_name
PROMISED = {
    DEFINITIONS: ("request_ids",),
    RECORDS: ("leases", "retention", "request_ids"),
    CACHE: ("entries", "request_ids"),
}
"""The duties that are part of what a service promises."""
FAILING_SECONDS = 10.0
"""A service whose duty fails for longer is NOT_SERVING (contract, section 6)."""
HEALTH_LEAD_SECONDS = 0.1
"""How long health says NOT_SERVING, at the end, before anything else changes."""


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[int]:
    """Serves while entered; yields the port.

    On the way out it drains: health says NOT_SERVING, then new calls are refused and open streams
    end with UNAVAILABLE so that clients resume elsewhere, other calls may finish.

    Raises CannotServeError, DataDirInUse, EmbeddedServerError or SchemaMismatchError.
    """
    async with AsyncExitStack() as stack:
        # Only workers share a port: a second server must not, without a word.
        server = grpc.aio.server(
            options=[*SERVER_OPTIONS, ("grpc.so_reuseport", int(settings.worker))]
        )
        port = _bind(server, settings)
        shown: dict[str, pages.MakePage] = {
            "/livez": probes.livez,
            "/readyz": probes.readyz({"server": "starting"}),
        }
        if settings.metrics_listen:
            await stack.enter_async_context(pages.showing(settings.metrics_listen, shown))
        stores = await open_stores(stack, settings)

        database = Database(
            stores.database_url,
            connections=settings.database_connections,
            statement_timeout=settings.statement_timeout,
        )
        stack.push_async_callback(database.close)
        urgent, live, bulk = database.urgent, database.live, database.bulk
        keys = KeySpace(GENERATION, stores.incarnation)
        redis = await stack.enter_async_context(RedisClient(stores.redis_url))
        cache = await stack.enter_async_context(ReadThrough(redis))
        wakeups = Wakeups(client(stores.redis_url) if stores.redis_url else None)
        catch_up = CatchUp()
        hub = Hub(live, wakeups, keys, catch_up)
        committer = Committer(redis, keys, hub, wakeups)
        stack.push_async_callback(committer.settle, settings.drain_seconds)
        reads = DefinitionReads(
            live=live,
            bulk=bulk,
            cache=cache,
            versions=LocalVersions(VERSIONS_BYTES),
            keys=keys,
        )
        services: dict[str, list[object]] = {
            DEFINITIONS: [
                TaskDefs(bulk=bulk, committer=committer, reads=reads),
                TaskTemplates(bulk=bulk, committer=committer, reads=reads),
                DefinitionHistory(bulk=bulk, committer=committer, reads=reads),
                Transfer(bulk=bulk, committer=committer),
            ],
            RECORDS: [
                TaskRecords(live=live, bulk=bulk, cache=cache, keys=keys, committer=committer),
                ExecutorVerbs(
                    urgent=urgent,
                    live=live,
                    committer=committer,
                    claims=Claims(committer, live),
                    heartbeats=Heartbeats(committer, urgent),
                    wakeups=wakeups,
                    keys=keys,
                ),
                OperatorVerbs(live=live, committer=committer),
                BlockRecords(live=live, bulk=bulk, writer=Writer(committer, urgent)),
                History(
                    live=live,
                    bulk=bulk,
                    hub=hub,
                    logs=TailedLogs(database, wakeups, keys, catch_up),
                    incarnation=stores.incarnation,
                    retention=settings.retention,
                ),
                Figures(figures=database.figures, committer=committer),
            ],
            CACHE: [
                CacheReads(live=live, bulk=bulk, cache=cache, keys=keys),
                CacheWrites(live=live, committer=committer, writer=EntryWriter(committer, live)),
            ],
        }

        kinds = [LEASES, ENTRIES, KEYS, retention.duty(settings.retention)]
        duties = Duties(database.duties, committer, kinds)
        if settings.metrics_listen:
            lag = Lag()
            keep_going(stack, lag.run)

            async def page() -> pages.Page:
                text = metrics.page(redis.counters, redis.state, lag, duties.conditions)
                return pages.Page(text, content_type=metrics.CONTENT_TYPE)

            shown["/metrics"] = page

        edge = Edge(
            Limits(
                live=settings.live_calls,
                reserve=max(1, settings.live_calls // 4),
                bulk=settings.bulk_calls,
                figures=settings.figures_calls,
                waits=settings.waits,
                waits_of_connection=max(1, settings.waits // 2),
                incoming_streams=settings.incoming_streams,
            )
        )
        server.add_generic_rpc_handlers(generic_handlers(services, edge))

        async def probe() -> None:
            await database.probe.select(sa.select(sa.literal(1)))

        health = Health(
            {name: partial(duties.problem, PROMISED[name], FAILING_SECONDS) for name in services},
            probe,
        )
        shown["/readyz"] = probes.readyz(health.problems)
        if settings.worker:
            health.on_change = stack.enter_context(reports_to_parent())
        add_introspection(server, services, health)
        for background in (wakeups.run, hub.run, duties.run, Pulse(database.probe).run):
            keep_going(stack, background)
        await server.start()
        stack.push_async_callback(edge.drain, settings.drain_seconds, server.stop)
        # Whoever watches health, such as a balancer, hears of the end before calls are refused.
        stack.push_async_callback(asyncio.sleep, HEALTH_LEAD_SECONDS)
        keep_going(stack, health.follow)
        yield port


def _bind(server: grpc.aio.Server, settings: Settings) -> int:
    if not settings.worker:
        check_address(settings.listen, insecure=settings.insecure)
    try:
        return server.add_insecure_port(settings.listen)
    except RuntimeError as exc:
        raise CannotServeError(f"cannot listen on {settings.listen}") from exc
