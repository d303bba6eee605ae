"""What the tests of runs do, one line each."""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
import sqlalchemy as sa
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct
from google.rpc import (  # type: ignore[import-untyped]  # googleapis-common-protos has no types
    error_details_pb2,
    status_pb2,
)
from grpc import StatusCode
from vwed.v1.block_record_pb2 import BlockRecord, BlockRecordStatus
from vwed.v1.common_pb2 import View
from vwed.v1.record_service_pb2 import (
    CreateTaskRecordRequest,
    GetTaskRecordRequest,
    ListBlockRecordsRequest,
    ListTaskRecordEventsRequest,
    ReportBlocksRequest,
    ReportBlocksResponse,
    StartTaskRecordRequest,
)
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_def_service_pb2 import CreateTaskDefRequest
from vwed.v1.task_record_event_pb2 import TaskRecordEvent
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordStatus

from tests.support.waiting import until_true
from vwed.client import Client, error_info
from vwed_grpc.storage.connector import Connector
from vwed_grpc.storage.pool import Pool

TWO_BLOCKS = {"blocks": [{"id": "a", "type": "move"}, {"id": "b", "type": "lift"}]}


def struct(content: dict[str, Any]) -> Struct:
    return ParseDict(content, Struct())


def seconds(value: float) -> Duration:
    return Duration(seconds=int(value), nanos=round(value % 1 * 1e9))


async def define(client: Client, config: dict[str, Any] | None = None, **fields: Any) -> TaskDef:
    """A definition of two blocks, unless told otherwise."""
    fields.setdefault("name", f"def-{uuid.uuid4().hex}")
    task_def = TaskDef(config=struct(TWO_BLOCKS if config is None else config), **fields)
    return await client.definitions.CreateTaskDef(CreateTaskDefRequest(task_def=task_def))


async def create(client: Client, task_def_id: str = "", **fields: Any) -> TaskRecord:
    """A run, of a definition of its own unless told otherwise."""
    if not task_def_id:
        task_def_id = (await define(client)).id
    record = TaskRecord(task_def_id=task_def_id, **fields)
    return await client.records.CreateTaskRecord(CreateTaskRecordRequest(task_record=record))


async def start(
    client: Client, run: str, executor: str = "robot-1", lease: float = 0
) -> TaskRecord:
    return await client.records.StartTaskRecord(
        StartTaskRecordRequest(id=run, executor_id=executor, lease=seconds(lease))
    )


async def running(
    client: Client, task_def_id: str = "", lease: float = 0, **fields: Any
) -> TaskRecord:
    """A run that robot-1 has started."""
    return await start(client, (await create(client, task_def_id, **fields)).id, lease=lease)


def block(
    block_id: str,
    status: BlockRecordStatus.ValueType = BlockRecordStatus.BLOCK_RECORD_STATUS_UNSPECIFIED,
    **fields: Any,
) -> BlockRecord:
    for name in ("input_data", "output_data"):
        if name in fields:
            fields[name] = struct(fields[name])
    return BlockRecord(block_id=block_id, status=status, **fields)


async def report(
    client: Client, run: str, *blocks: BlockRecord, **fence: Any
) -> ReportBlocksResponse:
    return await client.records.ReportBlocks(
        ReportBlocksRequest(task_record_id=run, block_records=blocks, **fence)
    )


async def get(client: Client, run: str, *, strong: bool = False) -> TaskRecord:
    metadata = [("x-vwed-consistency", "strong")] if strong else []
    return await client.records.GetTaskRecord(GetTaskRecordRequest(id=run), metadata=metadata)


async def blocks_of(client: Client, run: str) -> list[BlockRecord]:
    """All of them with their payload, as they began."""
    answer = await client.records.ListBlockRecords(
        ListBlockRecordsRequest(task_record_id=run, page_size=1000, view=View.VIEW_FULL)
    )
    assert not answer.next_page_token
    return list(answer.block_records)


async def history(client: Client, run: str, after_seq: int = 0) -> list[TaskRecordEvent]:
    """Every event with its payload; the seqs are checked to have no gap."""
    found: list[TaskRecordEvent] = []
    request = ListTaskRecordEventsRequest(
        task_record_id=run, after_seq=after_seq, page_size=1000, view=View.VIEW_FULL
    )
    while True:
        answer = await client.records.ListTaskRecordEvents(request)
        found += answer.events
        request.page_token = answer.next_page_token
        if not answer.next_page_token:
            break
    assert [e.seq for e in found] == list(range(after_seq + 1, after_seq + 1 + len(found)))
    times = [e.event_time.ToNanoseconds() for e in found]
    assert times == sorted(times)
    return found


async def everything(
    client: Client, run: str
) -> tuple[TaskRecord, list[BlockRecord], list[TaskRecordEvent]]:
    """All that is stored of a run: two of these are equal if nothing was written between them."""
    record = await get(client, run, strong=True)
    return record, await blocks_of(client, run), await history(client, run)


async def sql(database_url: str, statement: str, **values: Any) -> Sequence[sa.Row[Any]]:
    """What a statement returns; it is committed."""
    pool = Pool(Connector(database_url), connections=1)
    try:
        return await pool.select(sa.text(statement), values)
    finally:
        await pool.close()


async def count_all_time(database_url: str) -> None:
    """The service counts as reachable for ever, so leases run out whenever it began."""
    await sql(
        database_url, "UPDATE service_pulse SET reachable_since = '2000-01-01' RETURNING tenant"
    )


async def let_lease_run_out(database_url: str, run: str) -> None:
    await count_all_time(database_url)
    await sql(
        database_url,
        "UPDATE task_records SET lease_expire_time = clock_timestamp() - interval '1 ms'"
        " WHERE id = :id RETURNING id",
        id=run,
    )


async def until(client: Client, run: str, status: TaskRecordStatus.ValueType) -> TaskRecord:
    """The run, once it has the status."""

    async def look() -> TaskRecord | None:
        record = await get(client, run)
        return record if record.status == status else None

    record = await until_true(look, what=f"status {status} of {run}")
    assert record
    return record


@dataclass
class Refusal:
    """Why a call was refused, once the `with` has ended."""

    metadata: dict[str, str] = field(default_factory=dict)
    fields: list[str] = field(default_factory=list)


@contextmanager
def refused(code: StatusCode, reason: str = "") -> Iterator[Refusal]:
    """Expects the service's own error, with its `reason` if one is given."""
    refusal = Refusal()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        yield refusal
    assert caught.value.code() is code, caught.value.details()
    info = error_info(caught.value)
    assert info is not None
    assert info.domain == "vwed"
    assert not reason or info.reason == reason
    refusal.metadata = dict(info.metadata)
    refusal.fields = _bad_fields(caught.value)


def _bad_fields(exc: grpc.aio.AioRpcError) -> list[str]:
    packed = exc.trailing_metadata()["grpc-status-details-bin"]
    bad = error_details_pb2.BadRequest()
    for detail in status_pb2.Status.FromString(packed).details:
        if detail.Unpack(bad):
            return [violation.field for violation in bad.field_violations]
    return []
