"""A service is put together of servicers, one for each of its subjects."""

from typing import Any

import pytest
from vwed.v1 import record_service_pb2  # noqa: F401 - what defines the service

from vwed_grpc.rpc.call import Call
from vwed_grpc.rpc.edge import Edge
from vwed_grpc.rpc.registration import generic_handlers

RECORDS = "vwed.v1.RecordService"


class Reads:
    async def GetTaskRecord(self, request: Any, call: Call) -> bytes:  # noqa: N802 - as RPCs are named
        return b""


class MoreReads:
    async def GetTaskRecord(self, request: Any, call: Call) -> bytes:  # noqa: N802 - as RPCs are named
        return b""


class Writes:
    async def CreateTaskRecord(self, request: Any, call: Call) -> bytes:  # noqa: N802 - as RPCs are named
        return b""


class Misspelt:
    async def CreateTaskRecrod(self, request: Any, call: Call) -> bytes:  # noqa: N802 - as RPCs are named
        return b""


async def test_each_rpc_is_found_in_one_servicer() -> None:
    generic_handlers({RECORDS: [Reads(), Writes()]}, Edge())
    with pytest.raises(
        TypeError, match=r"two servicers of vwed\.v1\.RecordService have GetTaskRecord"
    ):
        generic_handlers({RECORDS: [Reads(), Writes(), MoreReads()]}, Edge())


async def test_every_servicer_is_checked() -> None:
    with pytest.raises(TypeError, match="has no RPC CreateTaskRecrod"):
        generic_handlers({RECORDS: [Reads(), Misspelt()]}, Edge())
