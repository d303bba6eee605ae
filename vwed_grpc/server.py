"""The composition root: opens everything in one exit stack, wires it, serves, drains."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import grpc
import sqlalchemy as sa
from prometheus_client import CollectorRegistry
from vwed.v1 import cache_service_pb2, record_service_pb2, task_def_service_pb2

from vwed_grpc import pages
from vwed_grpc.background import keep_going
from vwed_grpc.cache.client import client
from vwed_grpc.cache.keys import GENERATION, KeySpace
from vwed_grpc.cache.local import LocalVersions
from vwed_grpc.cache.read_through import ReadThrough
from vwed_grpc.cache.redis_client import RedisClient
from vwed_grpc.listening import check_address
from vwed_grpc.rpc.edge import Edge
from vwed_grpc.rpc.health import Health
from vwed_grpc.rpc.introspection import introspection
from vwed_grpc.rpc.options import server_options
from vwed_grpc.rpc.registration import Handlers
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
from vwed_grpc.telemetry import multiprocess
from vwed_grpc.telemetry.disk import show_disk
from vwed_grpc.telemetry.figures import Shown, show
from vwed_grpc.telemetry.lag import Lag
from vwed_grpc.telemetry.meters import Meters
from vwed_grpc.telemetry.page import page_of
from vwed_grpc.telemetry.sampler import Sampler
from vwed_grpc.telemetry.tracing import Tracing
from vwed_grpc.telemetry.waiting_runs import WaitingRuns
from vwed_grpc.watching.catch_up import CatchUp
from vwed_grpc.watching.hub import Hub
from vwed_grpc.watching.log import TailedLogs
from vwed_grpc.watching.wakeups import Wakeups
from vwed_grpc.writes import retention
from vwed_grpc.writes.claims import Claims
from vwed_grpc.writes.commit import Committer
from vwed_grpc.writes.duties import Duties
from vwed_grpc.writes.entry_writer import EntryWriter
from vwed_grpc.writes.expiry import ENTRIES, KEYS, LEASES
from vwed_grpc.writes.heartbeats import Heartbeats
from vwed_grpc.writes.pulse import Pulse
from vwed_grpc.writes.writer import Writer

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


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[int]:
    """Serves while entered; yields the port.

    On the way out it drains: new calls are refused, open streams end with UNAVAILABLE so that
    clients resume elsewhere, other calls may finish.

    Raises CannotServeError, DataDirInUse, EmbeddedServerError or SchemaMismatchError.
    """
    async with AsyncExitStack() as stack:
        # Only workers share a port: a second server must not, without a word.
        server = grpc.aio.server(
            options=[
                *server_options(settings),
                ("grpc.so_reuseport", int(settings.worker is not None)),
            ]
        )
        port = _bind(server, settings)
        stores = await open_stores(stack, settings)

        if settings.metrics_dir is not None and settings.worker is not None:
            multiprocess.write_to(settings.metrics_dir, settings.worker)
        registry = CollectorRegistry()
        meters = Meters(registry)
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
        heartbeats = Heartbeats(committer, urgent, meters.flushes_of("heartbeats"))
        writer = Writer(committer, urgent, meters.flushes_of("reports"))
        entries = EntryWriter(committer, live, meters.flushes_of("entries"))
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
                    claims=Claims(committer, live, meters.flushes_of("claims")),
                    heartbeats=heartbeats,
                    wakeups=wakeups,
                    keys=keys,
                ),
                OperatorVerbs(live=live, committer=committer),
                BlockRecords(live=live, bulk=bulk, writer=writer),
                History(
                    live=live,
                    bulk=bulk,
                    hub=hub,
                    logs=TailedLogs(database, wakeups, keys, catch_up, meters.tail_lag),
                    incarnation=stores.incarnation,
                    retention=settings.retention,
                ),
                Figures(figures=database.figures, committer=committer),
            ],
            CACHE: [
                CacheReads(live=live, bulk=bulk, cache=cache, keys=keys),
                CacheWrites(live=live, committer=committer, writer=entries),
            ],
        }

        kinds = [LEASES, ENTRIES, KEYS, retention.duty(settings.retention)]
        duties = Duties(database.duties, committer, kinds)
        pulse = Pulse(database.probe)
        tracing = None if settings.trace_share is None else Tracing(settings.trace_share)
        edge = Edge(settings, meters if settings.measures else None, tracing)
        await _show_metrics(
            stack,
            settings,
            registry,
            Shown(
                redis=redis,
                edge=edge,
                database=database,
                queues={
                    "reports": writer.lanes,
                    "heartbeats": heartbeats.lanes,
                    "entries": entries.lanes,
                },
                committer=committer,
                duties=duties,
                pulse=pulse,
                catch_up=catch_up,
                waiting=WaitingRuns(database.duties),
                lag=Lag(meters.loop_lag),
            ),
        )

        async def probe() -> None:
            await database.probe.select(sa.select(sa.literal(1)))

        health = Health(
            {name: partial(duties.problem, PROMISED[name], FAILING_SECONDS) for name in services},
            probe,
        )
        services |= introspection(tuple(services), health)
        server.add_generic_rpc_handlers((Handlers(services, edge),))
        for background in (wakeups.run, hub.run, duties.run, pulse.run):
            keep_going(stack, background)
        await server.start()
        stack.push_async_callback(edge.drain, settings.drain_seconds, server.stop)
        keep_going(stack, health.follow)
        yield port


async def _show_metrics(
    stack: AsyncExitStack, settings: Settings, registry: CollectorRegistry, shown: Shown
) -> None:
    """On a page, or for that of a worker's parent. Raises CannotServeError."""
    if not settings.measures:
        return
    sampler = Sampler(registry)
    show(sampler, shown)
    for background in (shown.lag.run, shown.waiting.run):
        keep_going(stack, background)
    if settings.metrics_dir:
        keep_going(stack, sampler.run)
    if settings.metrics_listen:
        if settings.database_url is None:
            show_disk(registry, settings.data_dir)
        page = page_of(registry, sampler.sample)
        await stack.enter_async_context(pages.showing(settings.metrics_listen, {"/metrics": page}))


def _bind(server: grpc.aio.Server, settings: Settings) -> int:
    if settings.worker is None:
        check_address(settings.listen, insecure=settings.insecure)
    try:
        return server.add_insecure_port(settings.listen)
    except RuntimeError as exc:
        raise CannotServeError(f"cannot listen on {settings.listen}") from exc
