"""The programs of docs/reports.md, as they are pasted, beside a server at work."""

import asyncio
import sys

from google.protobuf.timestamp_pb2 import Timestamp
from vwed.v1.block_record_pb2 import BlockRecord, BlockRecordStatus
from vwed.v1.task_record_pb2 import TaskRecordStatus

from tests.support.calls import create_def, finish_run
from tests.support.pages import texts
from tests.support.process import ENVIRONMENT
from tests.support.steps import block, report, running
from vwed.client import Client, connect

PROGRAMS = texts("docs/reports.md", "python")
FAILED = BlockRecordStatus.BLOCK_RECORD_STATUS_FAILED
SUCCEEDED = BlockRecordStatus.BLOCK_RECORD_STATUS_SUCCEEDED


async def test_failed_runs_with_failed_blocks(target: str, database_url: str) -> None:
    async with connect(target, tenant="plant-2", bare=True) as client:
        await _fail(client)
    failed_runs, durations = await asyncio.gather(
        *(_run(program, database_url) for program in PROGRAMS)
    )
    assert failed_runs == [
        "order-2: no battery",
        "order-1: gave up",
        "  lift, attempt 1: jam {'code': 7.0}",
    ]
    assert durations == ["drive: 2 took 30.0 s on average", "turn: 1 took 5.0 s on average"]


async def _fail(client: Client) -> None:
    await create_def(client, name="shuttle", id="shuttle")
    await create_def(client, name="other", id="other")
    for id_, of in [("order-1", "shuttle"), ("order-2", "shuttle"), ("order-3", "other")]:
        await running(client, of, id=id_)
    await report(
        client,
        "order-1",
        _took("drive", 20),
        _took("turn", 5),
        block("lift", FAILED, error_message="jam", output_data={"code": 7}),
    )
    await report(client, "order-3", _took("drive", 40))
    ends = {"order-1": "gave up", "order-2": "no battery", "order-3": "not asked for"}
    for id_, why in ends.items():
        await finish_run(client, id_, TaskRecordStatus.TASK_RECORD_STATUS_FAILED, error_message=why)


def _took(block_type: str, seconds: int) -> BlockRecord:
    return block(
        block_type,
        SUCCEEDED,
        block_type=block_type,
        start_time=Timestamp(seconds=1_790_000_000),
        end_time=Timestamp(seconds=1_790_000_000 + seconds),
    )


async def _run(program: str, database_url: str) -> list[str]:
    """What it prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        program,
        env=ENVIRONMENT | {"VWED_DATABASE_URL": database_url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")
    return said.decode().splitlines()
