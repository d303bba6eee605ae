"""The composition root: opens everything in one exit stack, wires it, serves, drains."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc
import sqlalchemy as sa
import structlog
from vwed.v1 import cache_service_pb2, record_service_pb2, task_def_service_pb2

from vwed_grpc import metrics
from vwed_grpc.cache.client import client
from vwed_grpc.cache.keys import GENERATION, KeySpace
from vwed_grpc.cache.local import LocalVersions
from vwed_grpc.cache.read_through import ReadThrough
from vwed_grpc.cache.redis_guest import Guest
from vwed_grpc.lag import Lag
from vwed_grpc.listening import check_address
from vwed_grpc.progress import retention
from vwed_grpc.progress.claims import Claims
from vwed_grpc.progress.commit import Committer
from vwed_grpc.progress.duties import ENTRIES, KEYS, LEASES, Duties
from vwed_grpc.progress.hub import Hub
from vwed_grpc.progress.wakeups import Wakeups
from vwed_grpc.progress.writer import Writer
from vwed_grpc.rpc.edge import Edge
from vwed_grpc.rpc.health import Health
from vwed_grpc.rpc.introspection import add_introspection
from vwed_grpc.rpc.registration import generic_handlers
from vwed_grpc.services.backend import Backend
from vwed_grpc.services.cache_service import CacheService
from vwed_grpc.services.record_service import RecordService
from vwed_grpc.services.task_def_service import TaskDefService
from vwed_grpc.settings import Settings
from vwed_grpc.storage.database import Database
from vwed_grpc.stores import CannotServeError, open_stores

log = structlog.get_logger("vwed")

MAX_MESSAGE_BYTES = 4 << 20
"""Of a request, and of an answer: the default limit of every client."""
VERSIONS_BYTES = 64 << 20
"""What immutable versions may take in the process."""

SERVICERS = {
    task_def_service_pb2.DESCRIPTOR.services_by_name["TaskDefService"].full_name: TaskDefService,
    record_service_pb2.DESCRIPTOR.services_by_name["RecordService"].full_name: RecordService,
    cache_service_pb2.DESCRIPTOR.services_by_name["CacheService"].full_name: CacheService,
}


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[int]:
    """Serves while entered; yields the port.

    On the way out it drains: new calls are refused, open streams end with UNAVAILABLE so that
    clients resume elsewhere, other calls may finish.

    Raises CannotServeError, DataDirInUse, EmbeddedServerError or SchemaMismatchError.
    """
    async with AsyncExitStack() as stack:
        server = grpc.aio.server(
            options=[
                # Only workers share a port: a second server must not, without a word.
                ("grpc.so_reuseport", int(settings.worker)),
                ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
                ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
            ]
        )
        port = _bind(server, settings)
        stores = await open_stores(stack, settings)

        database = Database(
            stores.database_url,
            connections=settings.database_connections,
            statement_timeout=settings.statement_timeout,
        )
        stack.push_async_callback(database.close)
        keys = KeySpace(GENERATION, stores.incarnation)
        guest = await stack.enter_async_context(Guest(stores.redis_url))
        cache = await stack.enter_async_context(ReadThrough(guest))
        wakeups = Wakeups(client(stores.redis_url) if stores.redis_url else None)
        hub = Hub(database, wakeups, keys)
        committer = Committer(database, guest, keys, hub, wakeups)
        stack.push_async_callback(committer.settle, settings.drain_seconds)
        writer = Writer(committer)
        versions = LocalVersions(VERSIONS_BYTES)
        backend = Backend(
            database,
            cache,
            versions,
            keys,
            committer,
            Claims(committer),
            writer,
            hub,
            wakeups,
            settings.retention,
        )

        if settings.metrics_listen:
            lag = Lag()
            _in_background(stack, lag.run())

            def page() -> str:
                return metrics.page(guest.counters, guest.state, lag)

            await stack.enter_async_context(metrics.showing(settings.metrics_listen, page))

        edge = Edge()
        server.add_generic_rpc_handlers(
            generic_handlers({name: make(backend) for name, make in SERVICERS.items()}, edge)
        )

        async def probe() -> None:
            await database.fetch(sa.select(sa.literal(1)))

        health = Health(SERVICERS, probe)
        add_introspection(server, SERVICERS, health)
        kinds = [LEASES, ENTRIES, KEYS, retention.duty(settings.retention)]
        duties = Duties(database, committer, kinds)
        for background in (wakeups.run(), hub.run(), duties.run()):
            _in_background(stack, background)
        await server.start()
        stack.push_async_callback(server.stop, None)
        stack.push_async_callback(edge.drain, settings.drain_seconds)
        _in_background(stack, health.follow())
        yield port


def _bind(server: grpc.aio.Server, settings: Settings) -> int:
    if not settings.worker:
        check_address(settings.listen, insecure=settings.insecure)
    try:
        return server.add_insecure_port(settings.listen)
    except RuntimeError as exc:
        raise CannotServeError(f"cannot listen on {settings.listen}") from exc


def _in_background(stack: AsyncExitStack, duty: Coroutine[Any, Any, None]) -> None:
    """Runs a duty until the server closes; one that dies is a bug, and says so."""
    task = asyncio.create_task(duty)

    async def end() -> None:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled() and (failure := task.exception()):
            log.error("background duty died", exc_info=failure)

    stack.push_async_callback(end)
