"""What a server does when it is told to stop, and in which order."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]  # has no types
from vwed.v1 import record_service_pb2_grpc
from vwed.v1.record_service_pb2 import PauseTaskRecordRequest, WatchTaskRecordRequest

from tests.support.databases import migrated_database
from tests.support.locks import locked
from tests.support.metrics_page import ask, free_address
from tests.support.replicas import Replica, replica
from tests.support.steps import get, refused, running
from tests.support.waiting import PATIENCE, until_true
from vwed.client import connect, error_info

RECORDS = "vwed.v1.RecordService"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[str]:
    with migrated_database(postgres_url) as url:
        yield url


async def page(address: str, path: str) -> tuple[str, str]:
    head, body = await ask(address, f"GET {path} HTTP/1.1\r\n\r\n".encode())
    return head.split()[1], body


async def test_health_first_then_streams_then_what_is_under_way(
    database: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VWED_DRAIN_SECONDS", str(PATIENCE))
    pages = free_address()
    log = tmp_path / "server.log"
    async with replica(database, redis_url, log, "--metrics-listen", pages) as server:
        await _stops_in_order(server, database, pages)
        assert not server.faults()


async def _stops_in_order(server: Replica, database: str, pages: str) -> None:
    happened = list[str]()

    async def follow_health(channel: grpc.aio.Channel) -> None:
        health: Any = health_pb2_grpc.HealthStub(channel)
        async for said in health.Watch(health_pb2.HealthCheckRequest(service=RECORDS)):
            if said.status == NOT_SERVING and "serving" in happened:
                happened.append("not serving")
                return
            if said.status == SERVING:
                happened.append("serving")

    async def follow_run(run: str) -> str:
        # On one connection with health, so what is sent first comes first.
        records: Any = record_service_pb2_grpc.RecordServiceStub(channel)
        try:
            async for _ in records.WatchTaskRecord(WatchTaskRecordRequest(task_record_id=run)):
                happened.append("watching")
        except grpc.aio.AioRpcError as ended:
            happened.append("stream ended")
            info = error_info(ended)
            return f"{ended.code().name} {info and info.reason}"
        return "OK"

    async def pause(run: str) -> None:
        await client.records.PauseTaskRecord(PauseTaskRecordRequest(id=run))
        happened.append("paused")

    async with (
        connect(server.target, bare=True) as client,
        connect(server.target, bare=True) as newcomer,
        grpc.aio.insecure_channel(server.target) as channel,
    ):
        run = (await running(client)).id
        following = asyncio.create_task(follow_health(channel))
        watching = asyncio.create_task(follow_run(run))
        await until_true(lambda: {"serving", "watching"} <= {*happened})
        assert await page(pages, "/readyz") == ("200", "ok\n")
        await get(newcomer, run)
        async with locked(database, "task_records", "id", run):
            under_way = asyncio.create_task(pause(run))
            await get(client, run, strong=True)  # sent after it, so it has arrived
            stopping = asyncio.create_task(asyncio.to_thread(server.stop))
            assert await watching == "UNAVAILABLE DRAINING"
            await following
            assert happened.index("not serving") < happened.index("stream ended")
            status, why = await page(pages, "/readyz")
            assert (status, f"{RECORDS}: stopping" in why) == ("503", True)
            assert await page(pages, "/livez") == ("200", "ok\n")
            with refused(grpc.StatusCode.UNAVAILABLE, "DRAINING"):
                await get(newcomer, run)
            assert not under_way.done()
        await under_way
        await stopping
    assert happened[-3:] == ["not serving", "stream ended", "paused"]
