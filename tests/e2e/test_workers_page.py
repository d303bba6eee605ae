"""Of several workers one page shows all, whatever becomes of some of them."""

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest
from vwed.v1.record_service_pb2 import ListTaskRecordsRequest, WatchTaskRecordsRequest

from tests.support.metrics_page import figures, free_address
from tests.support.process import Process
from tests.support.waiting import until_true
from vwed.client import connect

LISTED = 'vwed_calls_total{code="OK",method="ListTaskRecords",service="RecordService"}'
CONNECTIONS = 12
"""So many that each worker gets some of them."""


@pytest.fixture
def page() -> str:
    return free_address()


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory, page: str) -> Iterator[Process]:
    data_dir = tmp_path_factory.mktemp("page") / "data"
    process = Process(data_dir, "--workers", "2", "--metrics-listen", page)
    process.start()
    try:
        yield process
    finally:
        process.close()


async def test_what_all_workers_count_is_added_up_and_outlives_them(
    server: Process, page: str
) -> None:
    async def look(name: str, at_least: float) -> dict[str, float]:
        found = await figures(page)
        return found if found.get(name, 0.0) >= at_least else {}

    async def serving() -> dict[str, float]:
        return await look('vwed_redis_breaker{state="closed"}', 2)

    await until_true(serving, what="both workers", every=0.1)
    await asyncio.gather(*(call(server) for _ in range(CONNECTIONS)))
    await until_true(lambda: look(LISTED, CONNECTIONS), what="all calls", every=0.1)
    found = await figures(page)
    assert found[LISTED] == CONNECTIONS
    assert found["vwed_disk_free_bytes"] > 0  # of the parent, whose PostgreSQL it is
    async with connect(server.address, bare=True) as client:
        watch = client.records.WatchTaskRecords(WatchTaskRecordsRequest())
        await watch.read()
        await until_true(lambda: look('vwed_open_streams{class="live"}', 1), every=0.1)
        for worker in server.workers():
            os.kill(worker, signal.SIGKILL)
        with pytest.raises(Exception, match="UNAVAILABLE"):
            await watch.read()

        async def forgotten() -> bool:
            gone = ("vwed_open_streams", "vwed_redis_breaker")
            return not any(name.startswith(gone) for name in await figures(page))

        await until_true(forgotten, what="a page without what died")
        await until_true(serving, what="two new workers", every=0.1)
        assert (await figures(page))['vwed_open_streams{class="live"}'] == 0
    assert (await figures(page))[LISTED] == CONNECTIONS  # a counter never falls
    await asyncio.gather(*(call(server) for _ in range(CONNECTIONS)))
    await until_true(lambda: look(LISTED, 2 * CONNECTIONS), what="all calls", every=0.1)
    assert (await figures(page))[LISTED] == 2 * CONNECTIONS


async def call(server: Process) -> None:
    async with connect(server.address, bare=True) as client:
        await client.records.ListTaskRecords(ListTaskRecordsRequest(), wait_for_ready=True)
