"""What watchers cost a server, measured from outside on a process of its own."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from google.protobuf.struct_pb2 import Struct
from vwed.v1.block_record_pb2 import BlockRecord, BlockRecordStatus
from vwed.v1.common_pb2 import View
from vwed.v1.record_service_pb2 import (
    ReportBlocksRequest,
    WatchTaskRecordRequest,
    WatchTaskRecordResponse,
)

from tests.support.replicas import Replica, replica
from tests.support.steps import create, define, running
from vwed.client import Client, connect

DONE = BlockRecordStatus.BLOCK_RECORD_STATUS_SUCCEEDED

IDLE, IDLE_BYTES = 1_000, 60 * 1024
"""Watchers, and what each may cost."""
CONNECTIONS = 50
READERS, REPORTS = 100, 60
PUSHED, STALLED_BYTES = 50 << 20, 24 << 20
"""What a stalled reader is sent, and by how much the server may grow meanwhile."""


@pytest.fixture
async def server(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Replica]:
    async with replica(database_url, redis_url, tmp_path / "server.log") as started:
        yield started


@pytest.fixture
async def worker(server: Replica, tenant: str) -> AsyncIterator[Client]:
    async with connect(server.target, tenant=tenant, bare=True) as client:
        yield client


class Reader:
    """One watch of a run; what it reads is dated."""

    def __init__(self, client: Client, run: str, *, full: bool = False) -> None:
        self._call = client.records.WatchTaskRecord(
            WatchTaskRecordRequest(
                task_record_id=run,
                view=View.VIEW_FULL if full else View.VIEW_BASIC,
            )
        )
        self.delays: list[float] = []
        """From the database's time of each change to its arrival, in seconds."""

    async def begin(self) -> None:
        """Returns once the snapshot is there: the watch has begun."""
        await self._call.read()

    async def read(self, events: int) -> None:
        """Until so many changes have come."""
        while len(self.delays) < events:
            message = await self._call.read()
            assert isinstance(message, WatchTaskRecordResponse)
            now = time.time()
            self.delays += [now - e.event_time.ToNanoseconds() / 1e9 for e in message.events]

    def leave(self) -> None:
        self._call.cancel()


async def _report(client: Client, run: str, number: int, size: int = 0) -> None:
    block = BlockRecord(block_id=f"b{number}", status=DONE)
    if size:
        data = Struct()
        data.update({"scan": "x" * size})
        block.output_data.CopyFrom(data)
    await client.records.ReportBlocks(
        ReportBlocksRequest(task_record_id=run, block_records=[block])
    )


async def test_an_idle_watcher_costs_little(server: Replica, worker: Client, tenant: str) -> None:
    """Each on a run of its own, which is the dearest way."""
    task_def = (await define(worker)).id
    runs = [(await create(worker, task_def)).id for _ in range(IDLE + CONNECTIONS)]
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(connect(server.target, tenant=tenant, bare=True))
            for _ in range(CONNECTIONS)
        ]
        # What a first watch on each connection costs belongs to the connection.
        first = [Reader(client, run) for client, run in zip(clients, runs, strict=False)]
        await asyncio.gather(*(reader.begin() for reader in first))
        await asyncio.sleep(1)
        before = server.rss()
        idle = [Reader(clients[n % CONNECTIONS], run) for n, run in enumerate(runs[CONNECTIONS:])]
        await asyncio.gather(*(reader.begin() for reader in idle))
        await asyncio.sleep(1)
        each = (server.rss() - before) / IDLE
        for reader in first + idle:
            reader.leave()
    print(f"\n{each / 1024:.1f} KiB for each of {IDLE} idle watchers")  # noqa: T201 - the figure
    assert each <= IDLE_BYTES


async def _p99(worker: Client, server: Replica, tenant: str, *, stalled: int) -> float:
    """Of the delays of all readers of one run, some of whom do not read."""
    run = (await running(worker)).id
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(connect(server.target, tenant=tenant, bare=True))
        # Connections of their own: on a shared one the transport itself would hold up the others.
        asleep = [
            Reader(
                await stack.enter_async_context(connect(server.target, tenant=tenant, bare=True)),
                run,
                full=True,
            )
            for _ in range(stalled)
        ]
        readers = [Reader(client, run) for _ in range(READERS - stalled)]
        await asyncio.gather(*(reader.begin() for reader in asleep + readers))
        reading = asyncio.gather(*(reader.read(REPORTS) for reader in readers))
        for number in range(REPORTS):
            # Large in VIEW_FULL alone, so that who does not read soon stalls.
            await _report(worker, run, number, size=100_000)
            await asyncio.sleep(0.02)
        async with asyncio.timeout(30):
            await reading
        delays = sorted(delay for reader in readers for delay in reader.delays)
        for reader in asleep + readers:
            reader.leave()
    return delays[len(delays) * 99 // 100]


async def test_a_stalled_reader_slows_no_other(
    server: Replica, worker: Client, tenant: str
) -> None:
    await _p99(worker, server, tenant, stalled=0)  # until everything is warm
    without: list[float] = []
    with_one: list[float] = []
    for _ in range(5):
        without.append(await _p99(worker, server, tenant, stalled=0))
        with_one.append(await _p99(worker, server, tenant, stalled=1))
        # The machine has other things to do, which hit the one or the other.
        if len(without) >= 2 and _middle(with_one) <= 2 * _middle(without):
            break
    alone, beside = _middle(without), _middle(with_one)
    print(f"\np99 {alone * 1e3:.0f} ms, with a stalled reader {beside * 1e3:.0f}")  # noqa: T201 - the figures
    assert beside <= 2 * alone


def _middle(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


async def test_a_stalled_reader_costs_bounded_memory(
    server: Replica, worker: Client, tenant: str
) -> None:
    size = 1_000_000
    other = (await running(worker)).id
    for number in range(12):  # until the server is as large as the work itself makes it
        await _report(worker, other, number, size)
    run = (await running(worker)).id
    async with connect(server.target, tenant=tenant, bare=True) as client:
        asleep = Reader(client, run, full=True)
        await asleep.begin()
        before = most = server.rss()
        for number in range(PUSHED // size):
            await _report(worker, run, number, size)
            most = max(most, server.rss())
        # What it did not read was not lost.
        async with asyncio.timeout(60):
            await asleep.read(PUSHED // size)
        asleep.leave()
    grown = most - before
    print(f"\n{grown / 2**20:.1f} MiB for {PUSHED >> 20} MiB at a stalled reader")  # noqa: T201 - the figure
    assert grown <= STALLED_BYTES
