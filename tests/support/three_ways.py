"""The three ways to report one block, alike to a test: each tells what was taken or refused."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.rpc import (  # type: ignore[import-untyped]  # googleapis-common-protos has no types
    code_pb2,
    error_details_pb2,
)
from grpc_status import rpc_status  # type: ignore[import-untyped]  # the same
from vwed.v1.block_record_pb2 import BlockRecord
from vwed.v1.record_service_pb2 import (
    ReportBlockRequest,
    ReportBlocksRequest,
    StreamBlockReportsRequest,
)

from vwed.client import Client


@dataclass(frozen=True)
class Outcome:
    seq: int = 0
    """0: refused."""
    code: str = "OK"
    reason: str = ""
    fields: list[str] = field(default_factory=list)
    """The paths that BadRequest names."""
    metadata: dict[str, str] = field(default_factory=dict)


Way = Callable[..., Awaitable[Outcome]]
"""Of a client, a run, a block, and executor_id and lease_epoch by name."""


async def one(client: Client, run: str, block: BlockRecord, **fence: Any) -> Outcome:
    request = ReportBlockRequest(task_record_id=run, block_record=block, **fence)
    try:
        return Outcome((await client.records.ReportBlock(request)).seq)
    except grpc.aio.AioRpcError as error:
        return _refusal(rpc_status.from_call(error))


async def many(client: Client, run: str, block: BlockRecord, **fence: Any) -> Outcome:
    request = ReportBlocksRequest(task_record_id=run, block_records=[block], **fence)
    try:
        return Outcome((await client.records.ReportBlocks(request)).seqs[0])
    except grpc.aio.AioRpcError as error:
        return _refusal(rpc_status.from_call(error))


async def stream(client: Client, run: str, block: BlockRecord, **fence: Any) -> Outcome:
    async def sent() -> AsyncIterator[StreamBlockReportsRequest]:
        yield StreamBlockReportsRequest(task_record_id=run, block_records=[block], **fence)

    (answer,) = [answer async for answer in client.records.StreamBlockReports(sent())]
    return _refusal(answer.error) if answer.HasField("error") else Outcome(answer.seqs[0])


WAYS: list[tuple[Way, str]] = [
    (one, "block_record"),
    (many, "block_records[0]"),
    (stream, "block_records[0]"),
]
"""Each with the path of its block."""


def _refusal(status: Any) -> Outcome:
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(bad)
    return Outcome(
        code=code_pb2.Code.Name(status.code),
        reason=info.reason,
        fields=[violation.field for violation in bad.field_violations],
        metadata=dict(info.metadata),
    )
