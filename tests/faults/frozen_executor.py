"""An executor in a process of its own, to be frozen: it works on, and says how each call went.

Arguments: target, tenant, seconds of lease. Claims one run; a line on stdout for each call: its
verb, then OK or the service's reason. Ends once everything that an executor can send was refused.
"""

import asyncio
import itertools
import sys
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2  # type: ignore[import-untyped]  # has no types
from vwed.v1.block_record_pb2 import BlockRecord, BlockRecordStatus
from vwed.v1.record_service_pb2 import (
    ClaimTaskRecordsRequest,
    FinishTaskRecordRequest,
    HeartbeatTaskRecordRequest,
    PauseTaskRecordRequest,
    ReleaseTaskRecordRequest,
    ReportBlockRequest,
    ReportBlocksRequest,
    StreamBlockReportsRequest,
)

from vwed.client import Client, connect, error_info
from vwed_grpc.domain.lifecycle import SUCCEEDED

DONE = BlockRecordStatus.BLOCK_RECORD_STATUS_SUCCEEDED


def say(verb: str, how: str) -> bool:
    print(verb, how, flush=True)  # noqa: T201 - this is how the test hears of it
    return how == "OK"


async def tell(verb: str, call: Awaitable[Any]) -> bool:
    try:
        await call
    except grpc.aio.AioRpcError as exc:
        info = error_info(exc)
        return say(verb, info.reason if info else exc.code().name)
    return say(verb, "OK")


async def stream(client: Client, request: StreamBlockReportsRequest) -> None:
    """Each batch has an answer of its own."""

    async def requests() -> AsyncIterator[StreamBlockReportsRequest]:
        for _ in range(2):
            yield request

    async for answer in client.records.StreamBlockReports(requests()):
        info = error_details_pb2.ErrorInfo()
        for detail in answer.error.details:
            detail.Unpack(info)
        say("StreamBlockReports", info.reason or "OK")


async def main(target: str, tenant: str, lease: int) -> None:
    async with connect(target, tenant=tenant, actor="frozen", bare=True) as client:
        claim = ClaimTaskRecordsRequest(executor_id="frozen", lease=Duration(seconds=lease))
        (run,) = (await client.records.ClaimTaskRecords(claim)).task_records
        fence: dict[str, Any] = {"executor_id": "frozen", "lease_epoch": run.lease_epoch}
        say("ClaimTaskRecords", "OK")

        def block(name: str) -> BlockRecord:
            return BlockRecord(block_id=name, status=DONE, message="by the frozen one")

        for n in itertools.count():
            report = ReportBlockRequest(task_record_id=run.id, block_record=block(f"b{n}"), **fence)
            if not await tell("ReportBlock", client.records.ReportBlock(report)):
                break
            await asyncio.sleep(0.02)
        c = client.records
        batch: dict[str, Any] = {
            "task_record_id": run.id,
            "block_records": [block("late"), block("b0")],
            **fence,
        }
        await tell("ReportBlocks", c.ReportBlocks(ReportBlocksRequest(**batch)))
        await stream(client, StreamBlockReportsRequest(**batch))
        beat = HeartbeatTaskRecordRequest(id=run.id, message="still here", robot_id="r", **fence)
        await tell("HeartbeatTaskRecord", c.HeartbeatTaskRecord(beat))
        await tell("PauseTaskRecord", c.PauseTaskRecord(PauseTaskRecordRequest(id=run.id, **fence)))
        release = ReleaseTaskRecordRequest(id=run.id, **fence)
        await tell("ReleaseTaskRecord", c.ReleaseTaskRecord(release))
        finish = FinishTaskRecordRequest(id=run.id, status=SUCCEEDED, **fence)
        await tell("FinishTaskRecord", c.FinishTaskRecord(finish))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
