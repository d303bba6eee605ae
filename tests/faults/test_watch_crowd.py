"""What a crowd of watchers costs those who report, and those of other tenants who read.

These compare times, which neighbours on a busy machine spoil: `make torture` runs them, alone. The
bench has the same cases (`python -m bench --only starvation`).
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct
from vwed.v1.block_record_pb2 import BlockRecord
from vwed.v1.record_service_pb2 import GetTaskRecordRequest, WatchTaskRecordsRequest

from tests.support.replicas import Replica, replica
from tests.support.steps import block, create, report, running
from vwed.client import Client, connect
from vwed_grpc.domain.blocks import RUNNING

pytestmark = pytest.mark.torture

FEEDS, CONNECTIONS = 50, 5
REPORTS, MOST_BESIDE_FEEDS = 20, 1.3
READS, MOST_BESIDE_UNREAD = 300, 2.0
ROUNDS = 7
"""At the most: the machine has other things to do, which hit the one or the other."""


@pytest.fixture
async def server(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Replica]:
    async with replica(database_url, redis_url, tmp_path / "server.log") as started:
        yield started


@asynccontextmanager
async def feeds(server: Replica, tenant: str) -> AsyncIterator[None]:
    """Watches of all runs of the tenant, which are read."""
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(connect(server.target, tenant=tenant, bare=True))
            for _ in range(CONNECTIONS)
        ]
        calls = [
            clients[n % CONNECTIONS].records.WatchTaskRecords(WatchTaskRecordsRequest())
            for n in range(FEEDS)
        ]
        await asyncio.gather(*(call.read() for call in calls))

        async def read(call: Any) -> None:
            async for _ in call:
                pass

        reading = [asyncio.create_task(read(call)) for call in calls]
        yield
        for call in calls:
            call.cancel()
        await asyncio.gather(*reading, return_exceptions=True)


async def _reports(worker: Client, run: str, label: str) -> float:
    """Seconds for one after the other."""
    began = time.perf_counter()
    for n in range(REPORTS):
        await report(worker, run, block(f"{label}-{n}", RUNNING))
    return time.perf_counter() - began


async def test_reports_do_not_wait_for_feeds(server: Replica, tenant: str) -> None:
    alone: list[float] = []
    beside: list[float] = []
    async with connect(server.target, tenant=tenant, bare=True) as worker:
        run = (await running(worker)).id
        await _reports(worker, run, "warm")
        for turn in range(ROUNDS):
            alone.append(await _reports(worker, run, f"alone-{turn}"))
            async with feeds(server, tenant):
                beside.append(await _reports(worker, run, f"beside-{turn}"))
            if turn and _middle(beside) <= MOST_BESIDE_FEEDS * _middle(alone):
                break
    print(f"\n{REPORTS} reports {_middle(alone):.3f} s, beside {FEEDS} feeds {_middle(beside):.3f}")  # noqa: T201 - the figures
    assert _middle(beside) <= MOST_BESIDE_FEEDS * _middle(alone)


def _middle(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


@asynccontextmanager
async def unread(server: Replica, tenant: str, token: str, runs: list[str]) -> AsyncIterator[None]:
    """A hundred watches that nobody reads, of ten runs of some megabytes each."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.faults.unread", server.target, tenant, token, *runs),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert await process.stdout.readline()
    yield
    process.stdin.close()
    await process.wait()


async def _reads(client: Client, run: str) -> list[float]:
    """Of a run that is not in the cache: what each took, in seconds."""
    took = []
    for _ in range(READS):
        began = time.perf_counter()
        await client.records.GetTaskRecord(
            GetTaskRecordRequest(id=run), metadata=(("x-vwed-consistency", "strong"),)
        )
        took.append(time.perf_counter() - began)
    return took


async def test_reads_do_not_wait_for_watches_that_nobody_reads(
    server: Replica, tenant: str
) -> None:
    async with (
        connect(server.target, tenant=tenant, bare=True) as worker,
        connect(server.target, tenant=f"{tenant}-other", bare=True) as other,
    ):
        mine = (await create(other)).id
        call = worker.records.WatchTaskRecords(WatchTaskRecordsRequest(include_blocks=True))
        first: Any = await call.read()
        call.cancel()
        runs = [(await running(worker)).id for _ in range(10)]
        data = Struct()
        data.update({"scan": "x" * 20_000})
        for run in runs:
            for n in range(4):
                blocks = (
                    BlockRecord(block_id=f"{n}-{m}", status=RUNNING, output_data=data)
                    for m in range(100)
                )
                await report(worker, run, *blocks)
        await _reads(other, mine)
        alone: list[float] = []
        beside: list[float] = []
        for turn in range(ROUNDS):
            alone += await _reads(other, mine)
            async with unread(server, tenant, first.resume_token, runs):
                beside += await _reads(other, mine)
            if turn and _middle(beside) <= MOST_BESIDE_UNREAD * _middle(alone):
                break
    for name, took in (("alone", alone), ("beside a hundred unread watches", beside)):
        p99 = sorted(took)[len(took) * 99 // 100]
        print(f"\nreads {name}: p50 {_middle(took) * 1e3:.1f} ms, p99 {p99 * 1e3:.1f} ms")  # noqa: T201 - the figures
    assert _middle(beside) <= MOST_BESIDE_UNREAD * _middle(alone)
