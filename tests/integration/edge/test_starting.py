"""A server's start: what it waits for, what it does not, and how many may start at once."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from logging import ERROR
from pathlib import Path

import grpc
import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from tests.support.calls import create_def, get_def
from tests.support.databases import empty_database
from tests.support.metrics_page import ask, figures, free_address
from tests.support.proxy import Proxy
from tests.support.waiting import until_true
from vwed.client import connect
from vwed_grpc import embedded
from vwed_grpc.embedded import DataDirInUse
from vwed_grpc.process.stores import CannotServeError
from vwed_grpc.server import serving
from vwed_grpc.settings import Settings
from vwed_grpc.storage import schema
from vwed_grpc.storage.database import sync_engine

AT_ONCE = 10
NOWHERE = "/tmp/nobody-listens-here"


def place(url: str, default_port: int) -> tuple[str, int]:
    """Where a store listens: host and port, or the path of a socket."""
    parts = sa.make_url(url)
    if url.startswith("unix:"):
        return url.removeprefix("unix://"), 0
    if folder := parts.query.get("host"):
        return f"{folder}/.s.PGSQL.{parts.query['port']}", 0
    return str(parts.host), parts.port or default_port


def through(url: str, proxy: Proxy) -> str:
    where = sa.make_url(url).set(host="127.0.0.1", port=proxy.port, query={})
    return where.render_as_string(hide_password=False)


@asynccontextmanager
async def started(settings: Settings) -> AsyncIterator["asyncio.Future[int]"]:
    """A server that may still be starting; its port is the future's."""
    port = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()

    async def serve() -> None:
        try:
            async with serving(settings) as found:
                port.set_result(found)
                await stop.wait()
        except Exception as failure:
            if port.done():
                raise
            port.set_exception(failure)

    running = asyncio.create_task(serve())
    try:
        yield port
    finally:
        stop.set()
        await running


async def page(address: str, path: str) -> tuple[int, str]:
    head, body = await ask(address, f"GET {path} HTTP/1.1\r\n\r\n".encode())
    return int(head.split()[1]), body


async def test_postgresql_is_waited_for_and_redis_is_not(settings: Settings, tenant: str) -> None:
    assert settings.database_url
    assert settings.redis_url
    address = free_address()
    async with Proxy(NOWHERE) as postgres, Proxy(NOWHERE) as redis:
        later = settings.model_copy(
            update={
                "database_url": through(settings.database_url, postgres),
                "redis_url": f"redis://127.0.0.1:{redis.port}",
                "metrics_listen": address,
            }
        )
        with capture_logs() as logged:
            async with started(later) as port:
                said = await until_true(
                    lambda: [e for e in logged if e["event"] == "waiting for PostgreSQL"]
                )
                assert said[0]["why"]
                assert await page(address, "/livez") == (200, "ok\n")
                assert await page(address, "/readyz") == (503, "server: starting\n")
                assert (await page(address, "/metrics"))[0] == 404
                assert not port.done()

                postgres.upstream = place(settings.database_url, 5432)
                async with connect(f"127.0.0.1:{await port}", tenant=tenant, bare=True) as client:
                    await create_def(client)

                async def ready() -> bool:
                    return await page(address, "/readyz") == (200, "ok\n")

                await until_true(ready)
                closed = 'vwed_redis_breaker{state="closed"}'
                assert (await figures(address))[closed] == 0

                redis.upstream = place(settings.redis_url, 6379)

                async def in_use() -> bool:
                    return (await figures(address))[closed] == 1

                await until_true(in_use)

                postgres.upstream = (NOWHERE, 0)
                await postgres.cut()

                async def away() -> bool:
                    services = ("TaskDefService", "RecordService", "CacheService")
                    why = "".join(f"vwed.v1.{one}: the store is out of reach\n" for one in services)
                    return await page(address, "/readyz") == (503, why)

                await until_true(away)  # without a word of where and what it is
                assert "the store cannot be used" in {e["event"] for e in logged}


async def test_it_gives_up_when_its_time_is_over(settings: Settings) -> None:
    assert settings.database_url
    async with Proxy(NOWHERE) as postgres:
        url = through(settings.database_url, postgres)
        with pytest.raises(CannotServeError, match="the database cannot be used: "):
            async with serving(
                settings.model_copy(update={"database_url": url, "start_timeout": 0.3})
            ):
                pass


@pytest.mark.parametrize(
    ("database", "query", "said"),
    [
        ("nowhere", {}, 'database "nowhere" does not exist'),
        ("postgres", {"no_option": "1"}, "an option that nobody knows: 'no_option'"),
    ],
)
async def test_what_waiting_does_not_mend_is_said_at_once(
    settings: Settings, database: str, query: dict[str, str], said: str
) -> None:
    url = sa.make_url(settings.database_url or "").set(database=database).update_query_dict(query)
    given = {"database_url": url.render_as_string(hide_password=False), "start_timeout": 3600.0}
    with pytest.raises(CannotServeError, match=said):
        async with serving(settings.model_copy(update=given)):
            pass


async def test_ten_migrate_at_once_and_ten_start_at_once(
    settings: Settings, postgres_url: str
) -> None:
    def migrate() -> str:
        engine = sync_engine(url)
        try:
            return schema.migrate(engine)
        finally:
            engine.dispose()

    with empty_database(postgres_url) as url:
        before = await asyncio.gather(*(asyncio.to_thread(migrate) for _ in range(AT_ONCE)))
        assert sorted(before) == ["", *[schema.HEAD] * (AT_ONCE - 1)]

        own = settings.model_copy(update={"database_url": url, "database_connections": 8})
        async with AsyncExitStack() as stack:
            servers = [await stack.enter_async_context(started(own)) for _ in range(AT_ONCE)]
            clients = [
                await stack.enter_async_context(connect(f"127.0.0.1:{port}", bare=True))
                for port in await asyncio.gather(*servers)
            ]
            made = await create_def(clients[0])
            found = await asyncio.gather(*(get_def(client, made.id) for client in clients))
            assert found == [made] * AT_ONCE


async def test_of_ten_one_has_the_data_directory(tmp_path: Path) -> None:
    enough = asyncio.Barrier(AT_ONCE)

    async def own() -> bool:
        try:
            async with embedded.lock_data_dir(tmp_path):
                await enough.wait()
                return True
        except DataDirInUse:
            await enough.wait()
            return False

    assert sum(await asyncio.gather(*(own() for _ in range(AT_ONCE)))) == 1


async def test_who_is_told_to_stop_amid_the_start_of_grpc_finishes_it_first(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """gRPC's own loop fails, with a traceback in the log, if its start is cancelled."""
    grpc_server = type(grpc.aio.server())
    start = grpc_server.start

    async def start_and_be_stopped(server: grpc.aio.Server) -> None:
        asyncio.get_running_loop().call_soon(serve.cancel)
        await start(server)

    async def serving_() -> None:
        async with serving(settings):
            pytest.fail("it serves")

    monkeypatch.setattr(grpc_server, "start", start_and_be_stopped)
    serve = asyncio.create_task(serving_())
    with pytest.raises(asyncio.CancelledError):
        await serve
    gc.collect()
    assert [failure.getMessage() for failure in caplog.records if failure.levelno >= ERROR] == []
