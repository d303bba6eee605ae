"""Who lost a run changes nothing any more, however late it finds out; who is lost, is noticed."""

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from vwed.v1.record_service_pb2 import CancelTaskRecordRequest, ClaimTaskRecordsRequest
from vwed.v1.task_record_pb2 import TaskRecord

from tests.support.steps import (
    block,
    count_all_time,
    create,
    everything,
    history,
    let_lease_run_out,
    report,
    running,
    seconds,
    sql,
    until,
)
from tests.support.waiting import promptly
from vwed.client import Client, connect
from vwed_grpc.domain import blocks
from vwed_grpc.domain.lifecycle import CANCELED, CANCELING, INTERRUPTED, Status
from vwed_grpc.server import serving
from vwed_grpc.settings import Settings

LEASE = 60
ACTED_ON = 2
"""Seconds after the end of a lease within which something follows from it."""
LOST_AT_ONCE = 25


@asynccontextmanager
async def executor(target: str, tenant: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.faults.frozen_executor", target, tenant, str(LEASE)),
        cwd=Path(__file__).parents[2],
        stdout=PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _said(process: Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(30):
        return (await process.stdout.readline()).decode().strip()


async def test_a_frozen_executor_changes_nothing_once_it_thaws(
    target: str, client: Client, tenant: str, database_url: str
) -> None:
    run = (await create(client)).id
    async with executor(target, tenant) as frozen:
        assert await _said(frozen) == "ClaimTaskRecords OK"
        for _ in range(5):
            assert await _said(frozen) == "ReportBlock OK"
        frozen.send_signal(signal.SIGSTOP)
        await let_lease_run_out(database_url, run)
        (taken,) = await _claim_for_certain(client)
        assert (taken.id, taken.lease_epoch) == (run, 2)
        await report(client, run, block("b0", blocks.SUCCEEDED), block("own", blocks.RUNNING))
        before = await everything(client, run)
        frozen.send_signal(signal.SIGCONT)
        rest = [line async for line in _lines(frozen)]
    said = [line for line in rest if line != "ReportBlock OK"]  # what was answered before
    assert said == [
        f"{verb} LEASE_LOST"
        for verb in (
            "ReportBlock",
            "ReportBlocks",
            "StreamBlockReports",
            "StreamBlockReports",
            "HeartbeatTaskRecord",
            "PauseTaskRecord",
            "ReleaseTaskRecord",
            "FinishTaskRecord",
        )
    ]
    assert await everything(client, run) == before


async def _claim_for_certain(client: Client) -> list[TaskRecord]:
    """By another executor, as soon as the lease has run out."""
    answer = await client.records.ClaimTaskRecords(
        ClaimTaskRecordsRequest(
            executor_id="other", include_interrupted=True, lease=seconds(0), wait=seconds(10)
        )
    )
    return list(answer.task_records)


async def _lines(process: Process) -> AsyncIterator[str]:
    while line := await _said(process):
        yield line


@pytest.fixture
async def two_replicas(settings: Settings, tenant: str) -> AsyncIterator[list[Client]]:
    async with AsyncExitStack() as stack:
        ports = [await stack.enter_async_context(serving(settings)) for _ in range(2)]
        yield [
            await stack.enter_async_context(connect(f"127.0.0.1:{port}", tenant=tenant, bare=True))
            for port in ports
        ]


@pytest.mark.parametrize(
    ("canceling", "status", "error_code"),
    [(False, INTERRUPTED, ""), (True, CANCELED, "EXECUTOR_LOST")],
)
async def test_a_lost_executor_is_noticed_once(
    two_replicas: list[Client],
    canceling: bool,
    status: Status,
    error_code: str,
    database_url: str,
    tenant: str,
) -> None:
    task_def = (await running(two_replicas[0])).task_def_id

    async def lose_some() -> float:
        """The longest time from the end of a lease to what follows from it, in seconds."""
        runs = await asyncio.gather(
            *(running(two_replicas[n % 2], task_def, lease=60) for n in range(LOST_AT_ONCE))
        )
        if canceling:
            for n, run in enumerate(runs):
                canceled = await two_replicas[n % 2].records.CancelTaskRecord(
                    CancelTaskRecordRequest(id=run.id)
                )
                assert canceled.status == CANCELING
        await count_all_time(database_url)
        # All of them together, once each is where it should be, however long that took.
        ended = await sql(
            database_url,
            "UPDATE task_records SET lease_expire_time = clock_timestamp() + interval '0.5 s'"
            " WHERE tenant = :tenant AND lease_expire_time IS NOT NULL"
            " RETURNING id, lease_expire_time",
            tenant=tenant,
        )
        ends_at = {row.id: row.lease_expire_time.timestamp() for row in ended}
        assert ends_at.keys() == {run.id for run in runs}
        late = list[float]()
        for run in runs:
            after = await until(two_replicas[0], run.id, status)
            assert after.error_code == error_code
            events = await history(two_replicas[1], run.id)
            statuses = [event.task_record.status for event in events]
            assert statuses.count(status) == 1
            assert statuses[-1] == status
            late.append(events[-1].event_time.ToNanoseconds() / 1e9 - ends_at[run.id])
        assert min(late) >= 0
        return max(late)

    await promptly(lose_some, below=ACTED_ON, rounds=2)
    twice = await sql(
        database_url,
        "SELECT task_record_id FROM task_record_events WHERE tenant = :tenant"
        " GROUP BY task_record_id HAVING count(*) > :most",
        tenant=tenant,
        most=4 if canceling else 3,
    )
    assert not twice
