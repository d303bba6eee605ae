"""A server that is told to stop says so to everyone who waits on it, and ends in time."""

import asyncio
import time
import uuid

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from vwed.v1.record_service_pb2 import ClaimTaskRecordsRequest, WatchTaskRecordRequest
from vwed.v1.task_record_pb2 import TaskRecordFilter

from tests.support.calls import create_def, create_run
from tests.support.process import Process
from tests.support.steps import get
from tests.support.waiting import PATIENCE, promptly
from vwed.client import connect, error_info


async def test_a_watch_and_a_waiting_claim_end(server: Process) -> None:
    async def stopped_amid_both() -> float:
        if not server.running():
            await asyncio.to_thread(server.start)
        async with connect(server.address, bare=True) as client:
            run = await create_run(client, (await create_def(client, uuid.uuid4().hex)).id)
            watch = client.records.WatchTaskRecord(WatchTaskRecordRequest(task_record_id=run.id))
            assert (await anext(aiter(watch))).bookmark_seq == 1
            claim = client.records.ClaimTaskRecords(
                ClaimTaskRecordsRequest(
                    executor_id="robot-1",
                    filter=TaskRecordFilter(task_types=["none"]),
                    wait=Duration(seconds=60),
                )
            )
            await get(client, run.id)  # so the claim, sent before it, has arrived

            began = time.monotonic()
            stopped = asyncio.create_task(asyncio.to_thread(server.stop))
            for call in (anext(aiter(watch)), claim):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await asyncio.wait_for(call, PATIENCE)
                assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
                info = error_info(caught.value)
                assert info
                assert info.reason == "DRAINING"
            assert await stopped == 0
            return time.monotonic() - began

    # Drain time, and what closing PostgreSQL takes.
    await promptly(stopped_amid_both, below=2 + 8)


async def test_of_many_who_call_all_the_time_none_ends_without_a_word(server: Process) -> None:
    """Not even those that gRPC has taken in when the server stops, which it would just cancel.

    Nor do they, who never rest, keep the server from ending.
    """
    async with connect(server.address, bare=True) as client:
        run = await create_run(client, (await create_def(client)).id)
        refusals = list[grpc.aio.AioRpcError]()

        async def call_until_nobody_is_there() -> None:
            while True:
                try:
                    await get(client, run.id)
                except grpc.aio.AioRpcError as refusal:
                    # Refused, or reset while the server closes its port: no call was taken.
                    if "connections to all backends failing" in (refusal.details() or ""):
                        return
                    refusals.append(refusal)

        calling = [asyncio.create_task(call_until_nobody_is_there()) for _ in range(96)]
        await asyncio.sleep(0.5)
        assert await asyncio.to_thread(server.stop) == 0
        await asyncio.gather(*calling)
    assert {refusal.code() for refusal in refusals} == {grpc.StatusCode.UNAVAILABLE}
    assert all((info := error_info(each)) and info.reason == "DRAINING" for each in refusals)
