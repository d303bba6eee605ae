"""No request holds the event loop for long, however large it or its answer is.

Requests and answers are bytes here: what a client makes of them is not the server's turn. The bound
is twice the contract's 25 ms, for slower machines; what is tested took two to a hundred times that.
`python -m bench.turns` gives the figures of every RPC.
"""

from collections.abc import Iterable
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct, Value
from vwed.v1.block_record_pb2 import BlockRecord
from vwed.v1.cache_service_pb2 import (
    BatchSetDataCacheRequest,
    ClearDataCacheRequest,
    SetDataCacheRequest,
)
from vwed.v1.common_pb2 import View
from vwed.v1.data_cache_pb2 import DataCache
from vwed.v1.record_service_pb2 import (
    CreateTaskRecordRequest,
    FinishTaskRecordRequest,
    ReportBlocksRequest,
    UpdateTaskRecordRequest,
    WatchTaskRecordRequest,
)
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_def_service_pb2 import CreateTaskDefRequest, UpdateTaskDefRequest
from vwed.v1.task_record_pb2 import TaskRecord

from tests.support.calls import SUCCEEDED, create_def, create_run, json_object, start_run
from tests.support.turns import measured_turns
from vwed.client import Client
from vwed_grpc.domain.blocks import SUCCEEDED as BLOCK_SUCCEEDED

LONGEST = 0.05
"""Seconds of CPU."""
MEMBERS = Struct(fields={f"k{n}": Value(number_value=n) for n in range(45_000)})
"""Nearly 1 MiB. In protobuf's order, in which they are parsed for three times as long as sorted."""
DATA = json_object(**{f"m{n:02}": n for n in range(40)})


async def longest_turn(target: str, tenant: str, calls: Iterable[tuple[str, bytes]]) -> float:
    """Of these calls, (method, request), one after the other."""
    async with grpc.aio.insecure_channel(target) as channel:
        with measured_turns() as turns:
            for name, raw in calls:
                method: Any = channel.unary_unary(f"/vwed.v1.{name}")
                await method(raw, metadata=[("x-vwed-tenant", tenant)], timeout=60)
        return turns.longest


def call(service: str, request: Message) -> tuple[str, bytes]:
    method = request.DESCRIPTOR.name.removesuffix("Request")
    return f"{service}/{method}", request.SerializeToString()


async def test_reports_of_a_thousand_blocks(client: Client, target: str, tenant: str) -> None:
    run = await _started(client)
    blocks = [BlockRecord(block_id=f"b{n}", input_data=DATA, output_data=DATA) for n in range(1000)]
    report = ReportBlocksRequest(task_record_id=run, block_records=blocks)
    first = await longest_turn(target, tenant, [call("RecordService", report)])
    for block in report.block_records:
        block.status = BLOCK_SUCCEEDED
    again = await longest_turn(target, tenant, [call("RecordService", report)])
    async with grpc.aio.insecure_channel(target) as channel:
        watch = WatchTaskRecordRequest(task_record_id=run, view=View.VIEW_FULL)
        method: Any = channel.unary_stream("/vwed.v1.RecordService/WatchTaskRecord")
        with measured_turns() as turns:
            watching = method(
                watch.SerializeToString(), metadata=[("x-vwed-tenant", tenant)], timeout=60
            )
            assert len(await watching.read()) > 200_000  # a page of the snapshot
            watching.cancel()
    assert max(first, again, turns.longest) < LONGEST


async def test_entries_set_and_cleared(client: Client, target: str, tenant: str) -> None:
    run = await _started(client)
    value = Value(struct_value=DATA)
    sets = [
        SetDataCacheRequest(data_cache=DataCache(key=f"k{n}", json_value=value))
        for n in range(1000)
    ]
    calls = [
        call("CacheService", BatchSetDataCacheRequest(task_record_id=run, requests=sets)),
        call("CacheService", ClearDataCacheRequest(task_record_id=run)),
    ]
    assert await longest_turn(target, tenant, calls) < LONGEST


async def test_objects_of_very_many_members(client: Client, target: str, tenant: str) -> None:
    run = await _started(client)
    changed = Struct()
    changed.CopyFrom(MEMBERS)
    changed.fields["k0"].number_value = 1
    definition = TaskDef(id="d", name="d", config=MEMBERS)
    made = TaskRecord(id="r", task_def_id="d", input=MEMBERS)
    entry = DataCache(task_record_id=run, key="k", json_value=Value(struct_value=MEMBERS))
    uuid = "00000000-0000-4000-8000-000000000000"
    calls = [
        call("TaskDefService", CreateTaskDefRequest(task_def=definition, request_id=uuid)),
        call("TaskDefService", UpdateTaskDefRequest(task_def=TaskDef(id="d", config=changed))),
        call("RecordService", CreateTaskRecordRequest(task_record=made)),
        call("RecordService", UpdateTaskRecordRequest(task_record=TaskRecord(id="r", priority=3))),
        call("CacheService", SetDataCacheRequest(data_cache=entry)),
        call("RecordService", FinishTaskRecordRequest(id=run, status=SUCCEEDED, result=MEMBERS)),
    ]
    for one in calls:
        assert await longest_turn(target, tenant, [one]) < LONGEST, one[0]


@pytest.mark.parametrize(
    ("method", "raw"),
    [
        ("RecordService/BatchGetTaskRecords", b"\x0a\x00" * 7_000),  # ids
        ("RecordService/BatchGetTaskRecords", b"\x0a\x00" * 1_500_000),
        ("RecordService/ReportBlocks", b"\x12\x00" * 7_000),  # block_records
        ("RecordService/ReportBlocks", b"\x12\x00" * 1_000),
        ("RecordService/ReportBlocks", b"\x12\x00" * 1_500_000),
        ("CacheService/BatchSetDataCache", b"\x12\x00" * 7_000),
    ],
)
async def test_lists_far_too_long_to_be_looked_at(
    method: str, raw: bytes, target: str, tenant: str
) -> None:
    async with grpc.aio.insecure_channel(target) as channel:
        send: Any = channel.unary_unary(f"/vwed.v1.{method}")
        with measured_turns() as turns, pytest.raises(grpc.aio.AioRpcError) as refused:
            await send(raw, metadata=[("x-vwed-tenant", tenant)], timeout=60)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert turns.longest < LONGEST


async def _started(client: Client) -> str:
    run = await create_run(client, (await create_def(client, "small")).id)
    return (await start_run(client, run.id)).id
