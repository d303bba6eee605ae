"""A lease counts only time in which the service could be reached."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import grpc
import pytest
from vwed.v1.record_service_pb2 import HeartbeatTaskRecordRequest, StartTaskRecordRequest
from vwed.v1.task_record_pb2 import TaskRecord

from tests.support import stores
from tests.support.clusters import frozen
from tests.support.steps import create, get, running, seconds
from vwed.client import Client, connect
from vwed_grpc.domain.lifecycle import INTERRUPTED, RUNNING
from vwed_grpc.server import serving
from vwed_grpc.settings import Settings

LEASE = 4.0
OUTAGE = 5.0
RUNS = 5


@asynccontextmanager
async def heartbeats(client: Client, run: TaskRecord) -> AsyncIterator[None]:
    """An executor that lives: it beats on, whatever it is told."""

    async def beat() -> None:
        request = HeartbeatTaskRecordRequest(
            id=run.id, executor_id=run.executor_id, lease_epoch=run.lease_epoch
        )
        while True:
            with suppress(grpc.aio.AioRpcError):
                await client.records.HeartbeatTaskRecord(request, timeout=LEASE / 2)
            await asyncio.sleep(LEASE / 10)

    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        beating.cancel()
        await asyncio.wait([beating])


@pytest.fixture
async def own_postgres(tmp_path: Path) -> AsyncIterator[tuple[str, int]]:
    """Its URL and the process id of its first process."""
    home = tmp_path / "pg"
    home.mkdir()
    async with stores.postgres(home) as url:
        yield url, stores.postmaster_of(home)


async def _becomes(client: Client, run: str, status: int) -> TaskRecord:
    async with asyncio.timeout(60):
        while (found := await get(client, run, strong=True)).status != status:  # noqa: ASYNC110 - over gRPC
            await asyncio.sleep(0.1)
    return found


async def test_who_lives_through_an_outage_keeps_its_run_and_who_is_dead_is_found_a_term_later(
    own_postgres: tuple[str, int], settings: Settings, tenant: str
) -> None:
    url, postmaster = own_postgres
    own = settings.model_copy(update={"database_url": url, "redis_url": "none"})
    async with (
        serving(own) as first,
        serving(own) as second,
        connect(f"127.0.0.1:{first}", tenant=tenant, bare=True) as client,
        connect(f"127.0.0.1:{second}", tenant=tenant, bare=True) as other,
    ):
        alive = [await running(client, lease=LEASE) for _ in range(RUNS)]
        async with asyncio.TaskGroup() as group:
            stop = asyncio.Event()

            async def live(run: TaskRecord, through: Client) -> None:
                async with heartbeats(through, run):
                    await stop.wait()

            for n, run in enumerate(alive):
                group.create_task(live(run, (client, other)[n % 2]))
            dead = await running(client, lease=LEASE)
            with frozen(postmaster):
                await asyncio.sleep(OUTAGE)
            thawed = asyncio.get_running_loop().time()
            # Amid and right after the outage nobody takes a run of which it is not known.
            for run in alive:
                with suppress(grpc.aio.AioRpcError):
                    taken = await other.records.StartTaskRecord(
                        StartTaskRecordRequest(id=run.id, executor_id="thief", lease=seconds(60))
                    )
                    pytest.fail(f"taken: {taken}")
            lost = await _becomes(client, dead.id, INTERRUPTED)
            assert asyncio.get_running_loop().time() - thawed > LEASE - 1
            stop.set()
        for run in alive:
            found = await get(client, run.id, strong=True)
            assert (found.status, found.lease_epoch) == (RUNNING, run.lease_epoch)
        assert lost.lease_epoch == dead.lease_epoch


async def test_when_all_servers_were_away_leases_begin_anew(
    own_postgres: tuple[str, int], settings: Settings, tenant: str
) -> None:
    url, _ = own_postgres
    own = settings.model_copy(update={"database_url": url, "redis_url": "none"})
    async with (
        serving(own) as port,
        connect(f"127.0.0.1:{port}", tenant=tenant, bare=True) as client,
    ):
        run = await running(client, lease=LEASE)
        await create(client)
    await asyncio.sleep(LEASE + 0.5)
    async with (
        serving(own) as port,
        connect(f"127.0.0.1:{port}", tenant=tenant, bare=True) as client,
    ):
        answer = await client.records.HeartbeatTaskRecord(
            HeartbeatTaskRecordRequest(
                id=run.id, executor_id=run.executor_id, lease_epoch=run.lease_epoch
            )
        )
        assert answer.status == RUNNING
        await _becomes(client, run.id, INTERRUPTED)
