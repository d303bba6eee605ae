"""The demo, and a watch of one of its runs while it plays."""

import asyncio
import json

from vwed.v1.record_service_pb2 import GetTaskRecordRequest, ListTaskRecordsRequest

from tests.support.grpcurl import messages, shell
from tests.support.process import Process
from vwed.client import Client, connect
from vwed_grpc.domain import lifecycle


async def test_a_watch_prints_what_the_robots_do_as_they_do_it(shared: Process) -> None:
    # One robot takes one run after the other, so the last one is watched before it begins.
    demo = f"vwed-grpc demo --speed 0 --robots 1 --target {shared.address}"
    async with shell(demo) as playing, connect(shared.address, bare=True) as client:
        run = await _last_in_line(client, playing)
        request = json.dumps({"task_record_id": run, "after_seq": 0})
        watch = (
            f"grpcurl -plaintext -d '{request}' {shared.address}"
            " vwed.v1.RecordService/WatchTaskRecord"
        )
        async with shell(watch) as watching:
            told = messages(watching)
            first = await anext(told)
            now = await client.records.GetTaskRecord(GetTaskRecordRequest(id=run))
            assert now.status not in lifecycle.FINAL
            events = [*first["events"], *[e async for m in told for e in m.get("events", ())]]
            assert await watching.wait() == 0
        assert [int(event["seq"]) for event in events] == list(range(1, len(events) + 1))
        assert events[0]["task_record"]["status"] == "TASK_RECORD_STATUS_PENDING"
        assert any("block_record" in event for event in events)
        assert events[-1]["task_record"]["status"] == "TASK_RECORD_STATUS_FAILED"  # as it should

        output, _ = await asyncio.wait_for(playing.communicate(), 60)
        assert playing.returncode == 0
        assert output.decode().splitlines()[-1] == "ended as they should: 4 of 4 runs"


async def test_it_may_be_played_again(shared: Process) -> None:
    async with shell(f"vwed-grpc demo --speed 0 --runs 1 --target {shared.address}") as playing:
        output, _ = await asyncio.wait_for(playing.communicate(), 60)
        assert playing.returncode == 0, output.decode()


async def _last_in_line(client: Client, playing: asyncio.subprocess.Process) -> str:
    while True:
        listed = await client.records.ListTaskRecords(ListTaskRecordsRequest())
        if len(listed.task_records) >= 4:
            break
        assert playing.returncode is None
        await asyncio.sleep(0.02)
    return min(listed.task_records, key=lambda run: run.priority).id
