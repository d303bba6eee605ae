"""Clients connect anew now and then, to find new replicas; no call and no stream ends by it."""

import asyncio

import grpc
import pytest
from vwed.v1.record_service_pb2 import WatchTaskRecordRequest

from tests.support.steps import block, get, report, running
from tests.support.waiting import until_true
from vwed.client import connect
from vwed_grpc import server
from vwed_grpc.limits import Limits
from vwed_grpc.rpc.options import server_options
from vwed_grpc.server import serving
from vwed_grpc.settings import Settings

AGE = "grpc.max_connection_age_ms"
CONNECTIONS = 4


async def test_calls_and_streams_go_on(
    settings: Settings, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def aging(limits: Limits) -> list[tuple[str, int]]:
        options = dict(server_options(limits))
        return [*(options | {AGE: options[AGE] // 3_000}).items()]

    monkeypatch.setattr(server, "server_options", aging)
    async with (
        serving(settings) as port,
        connect(f"127.0.0.1:{port}", tenant=tenant, bare=True) as client,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as aged,
    ):
        run = (await running(client)).id
        watch = client.records.WatchTaskRecord(WatchTaskRecordRequest(task_record_id=run))
        assert (await anext(aiter(watch))).bookmark_seq

        connected = 0
        over = asyncio.Event()

        async def call() -> None:
            while not over.is_set():
                await get(client, run)

        async def count_connections() -> None:
            nonlocal connected
            while True:
                while aged.get_state(try_to_connect=True) is not grpc.ChannelConnectivity.READY:
                    await aged.wait_for_state_change(aged.get_state())
                connected += 1
                await aged.wait_for_state_change(grpc.ChannelConnectivity.READY)

        counting = asyncio.create_task(count_connections())
        calling = [asyncio.create_task(call()) for _ in range(16)]
        await until_true(lambda: connected >= CONNECTIONS)
        over.set()
        await asyncio.gather(*calling)  # none was refused or cut
        counting.cancel()
        await report(client, run, block("a"))
        assert (await anext(aiter(watch))).events[0].block_record.block_id == "a"
        watch.cancel()
