"""The composition root: opens everything in one exit stack, wires it, serves, drains."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import grpc
from vwed.v1 import cache_service_pb2, record_service_pb2, task_def_service_pb2

from vwed_grpc.cache.keys import GENERATION, KeySpace
from vwed_grpc.cache.local import LocalVersions
from vwed_grpc.cache.read_through import ReadThrough
from vwed_grpc.cache.redis_client import RedisClient
from vwed_grpc.cache.seal import Seal
from vwed_grpc.embedded.disk import watch_disk
from vwed_grpc.process import pages, probes
from vwed_grpc.process.background import keep_going
from vwed_grpc.process.security import audit, authentication, open_port
from vwed_grpc.process.stores import first_beat, open_stores
from vwed_grpc.process.worker_reports import reports_to_parent
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
from vwed_grpc.storage.incarnation import CurrentIncarnation, changed
from vwed_grpc.telemetry.figures import Shown
from vwed_grpc.telemetry.measuring import measure, meters_of
from vwed_grpc.telemetry.tracing import Tracing
from vwed_grpc.watching.catch_up import CatchUp
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
            options=[
                *server_options(settings),
                ("grpc.so_reuseport", int(settings.worker is not None)),
            ]
        )
        port = open_port(stack, server, settings)
        shown: dict[str, pages.MakePage] = {
            "/livez": probes.livez,
            "/readyz": probes.readyz({"server": "starting"}),
        }
        if settings.metrics_listen:
            await stack.enter_async_context(pages.showing(settings.metrics_listen, shown))
        meters = meters_of(settings)
        # Before the database: what is wrong with its files is said without waiting for that.
        edge = Edge(
            settings,
            authentication=authentication(stack, settings),
            audit=audit(stack, settings),
            meters=meters if settings.measures else None,
            tracing=None if settings.trace_share is None else Tracing(settings.trace_share),
        )
        stores = await open_stores(stack, settings)

        database = Database(
            stores.database_url,
            connections=settings.database_connections,
            statement_timeout=settings.statement_timeout,
        )
        stack.push_async_callback(database.close)
        urgent, live, bulk = database.urgent, database.live, database.bulk
        figures = database.figures
        await first_beat(database)
        incarnation = database.incarnation
        keys, seal = _of_the_present(incarnation)

        redis = await stack.enter_async_context(RedisClient(stores.redis_url))
        cache = await stack.enter_async_context(
            ReadThrough(redis, seal, lambda: incarnation.is_confirmed)
        )
        wakeups = Wakeups(stores.redis_url, seal)
        catch_up = CatchUp(edge.pace)
        logs = TailedLogs(database, wakeups, keys, catch_up, observe_lag=meters.tail_lag)
        incarnation.on_change(logs.begin_anew)
        committer = Committer(redis, keys, logs, wakeups)
        stack.push_async_callback(committer.settle, settings.drain_seconds)
        reads = DefinitionReads(
            live=live,
            bulk=bulk,
            figures=figures,
            cache=cache,
            versions=LocalVersions(VERSIONS_BYTES, lambda: incarnation.is_confirmed),
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
                TaskRecords(
                    live=live,
                    bulk=bulk,
                    figures=figures,
                    cache=cache,
                    keys=keys,
                    committer=committer,
                ),
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
                BlockRecords(live=live, bulk=bulk, figures=figures, writer=writer),
                History(
                    live=live,
                    bulk=bulk,
                    figures=figures,
                    logs=logs,
                    incarnation=incarnation,
                    retention=settings.retention,
                ),
                Figures(figures=figures, committer=committer),
            ],
            CACHE: [
                CacheReads(live=live, bulk=bulk, figures=figures, cache=cache, keys=keys),
                CacheWrites(live=live, committer=committer, writer=entries),
            ],
        }

        duties = Duties(
            database.duties,
            committer,
            [LEASES, ENTRIES, KEYS, retention.duty(settings.retention)],
        )
        beats = Pulse(database.probe)
        if settings.measures:
            of = Shown(
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
                pulse=beats,
                catch_up=catch_up,
                wakeups=wakeups,
            )
            shown["/metrics"] = measure(stack, settings, meters=meters, of=of)
        if stores.data:
            keep_going(
                stack,
                partial(watch_disk, stores.data, settings.disk_reserve_mib << 20, edge.note_disk),
            )
        # Watches resume, and claims begin anew, by what is there now.
        incarnation.on_change(lambda: edge.end_waits(changed()))

        health = Health(
            {name: partial(duties.problem, PROMISED[name], FAILING_SECONDS) for name in services},
            database.answer,
        )
        shown["/readyz"] = probes.readyz(health.problems)
        if settings.worker is not None:
            health.on_change = stack.enter_context(reports_to_parent())
        services |= introspection(tuple(services), health, closed=settings.introspection == "off")
        server.add_generic_rpc_handlers((Handlers(services, edge),))
        for background in (wakeups.run, duties.run, beats.run):
            keep_going(stack, background)
        stack.push_async_callback(edge.drain, settings.drain_seconds, server.stop)
        await _start(server)
        # Whoever watches health, such as a balancer, hears of the end before calls are refused.
        stack.push_async_callback(asyncio.sleep, HEALTH_LEAD_SECONDS)
        keep_going(stack, health.follow)
        yield port


async def _start(server: grpc.aio.Server) -> None:
    """Whoever is cancelled meanwhile waits until it has started: gRPC fails at half a start."""
    starting = asyncio.ensure_future(server.start())
    try:
        await asyncio.shield(starting)
    finally:
        await starting


def _of_the_present(incarnation: CurrentIncarnation) -> tuple[KeySpace, Seal]:
    """The names of what stands in Redis, and its seal: of the present copy of the data, always."""
    keys, seal = KeySpace(GENERATION, str(incarnation.value)), Seal(incarnation.value.seal_key)
    incarnation.on_change(lambda: keys.move_to(str(incarnation.value)))
    incarnation.on_change(lambda: seal.move_to(incarnation.value.seal_key))
    return keys, seal
