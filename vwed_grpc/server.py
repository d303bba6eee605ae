"""The composition root: opens everything in one exit stack, wires it, serves, drains."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import grpc
import sqlalchemy as sa
from vwed.v1 import cache_service_pb2, record_service_pb2, task_def_service_pb2

from vwed_grpc import metrics
from vwed_grpc.background import keep_going
from vwed_grpc.cache.client import client
from vwed_grpc.cache.keys import GENERATION, KeySpace
from vwed_grpc.cache.local import LocalVersions
from vwed_grpc.cache.read_through import ReadThrough
from vwed_grpc.cache.redis_client import RedisClient
from vwed_grpc.cache.seal import Seal
from vwed_grpc.lag import Lag
from vwed_grpc.listening import check_address
from vwed_grpc.rpc.edge import Edge
from vwed_grpc.rpc.health import Health
from vwed_grpc.rpc.introspection import introspection
from vwed_grpc.rpc.options import server_options
from vwed_grpc.rpc.registration import Handlers
from vwed_grpc.security import audit, authentication, open_port
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
from vwed_grpc.stores import open_stores
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
            options=[*server_options(settings), ("grpc.so_reuseport", int(settings.worker))]
        )
        if not settings.worker:
            check_address(settings)
        port = open_port(stack, server, settings)
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
        cache = await stack.enter_async_context(ReadThrough(redis, Seal(stores.seal_key)))
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
        edge = Edge(settings, authentication(stack, settings), audit(stack, settings))
        if settings.metrics_listen:
            lag = Lag()
            keep_going(stack, lag.run)

            def page() -> str:
                return metrics.page(redis.counters, redis.state, lag, duties.conditions, edge)

            await stack.enter_async_context(metrics.showing(settings.metrics_listen, page))

        async def probe() -> None:
            await database.probe.select(sa.select(sa.literal(1)))

        health = Health(
            {name: partial(duties.problem, PROMISED[name], FAILING_SECONDS) for name in services},
            probe,
        )
        services |= introspection(tuple(services), health, closed=settings.introspection == "off")
        server.add_generic_rpc_handlers((Handlers(services, edge),))
        for background in (wakeups.run, hub.run, duties.run, Pulse(database.probe).run):
            keep_going(stack, background)
        await server.start()
        stack.push_async_callback(edge.drain, settings.drain_seconds, server.stop)
        keep_going(stack, health.follow)
        yield port
