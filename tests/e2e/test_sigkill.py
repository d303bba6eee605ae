"""A server that is killed in the middle of a demo loses nothing that it acknowledged."""

import asyncio
import os

from vwed.v1 import record_service_pb2 as records
from vwed.v1 import task_def_service_pb2 as definitions
from vwed.v1.block_record_pb2 import BlockRecord, BlockRecordStatus
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_record_event_pb2 import TaskRecordEvent
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordStatus

from tests.e2e.conftest import BIN, Process
from vwed_grpc.client import Client, connect, persist, watch_run

KILLS = 2


async def test_a_killed_server_goes_on_where_it_was(server: Process) -> None:
    demo = await asyncio.create_subprocess_exec(
        BIN / "vwed-grpc", "demo", "--runs", "8", "--speed", "0.3", "--target", server.address,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env=dict(os.environ),
    )  # fmt: skip
    assert demo.stdout is not None
    await demo.stdout.readline()  # the robots are at work
    async with connect(server.address) as client:
        run = await _running(client)
        acknowledged: dict[int, str] = {}

        watching = asyncio.create_task(_watch(client, run))
        reporting = asyncio.create_task(_report(client, run, acknowledged))
        for _ in range(KILLS):
            await asyncio.sleep(1.5)
            server.kill()
            await asyncio.to_thread(server.start)
        acknowledged |= await reporting
        await persist(
            client.records.FinishTaskRecord,
            records.FinishTaskRecordRequest(
                id=run, status=TaskRecordStatus.TASK_RECORD_STATUS_SUCCEEDED
            ),
        )
        seen = await asyncio.wait_for(watching, 30)
        blocks = {e.seq: e.block_record.block_id for e in seen if e.HasField("block_record")}
        assert [e.seq for e in seen] == list(range(1, len(seen) + 1)), "no gap, no repeat"
        assert acknowledged.items() <= blocks.items(), "nothing acknowledged is lost"
        assert len(blocks) == len(set(blocks.values())), "nothing reported once appears twice"
        assert len(acknowledged) > 20
    output, _ = await asyncio.wait_for(demo.communicate(), 120)
    assert demo.returncode == 0, output.decode()


async def _watch(client: Client, run: str) -> list[TaskRecordEvent]:
    return [event async for event in watch_run(client, run, after_seq=0)]


async def _running(client: Client) -> str:
    task_def = TaskDef(name="kill", id="kill")
    await client.definitions.CreateTaskDef(definitions.CreateTaskDefRequest(task_def=task_def))
    run = await client.records.CreateTaskRecord(
        records.CreateTaskRecordRequest(task_record=TaskRecord(task_def_id="kill"))
    )
    await client.records.StartTaskRecord(
        records.StartTaskRecordRequest(id=run.id, executor_id="tester")
    )
    return run.id


async def _report(client: Client, run: str, acknowledged: dict[int, str]) -> dict[int, str]:
    """Reports a block after the other, each until it is acknowledged, beyond the last kill."""
    for n in range(200):
        answer = await persist(
            client.records.ReportBlock,
            records.ReportBlockRequest(
                task_record_id=run,
                block_record=BlockRecord(
                    block_id=f"block-{n}",
                    status=BlockRecordStatus.BLOCK_RECORD_STATUS_SUCCEEDED,
                ),
            ),
            timeout=2.0,
        )
        acknowledged[answer.seq] = f"block-{n}"
        await asyncio.sleep(0.02)
    return acknowledged
