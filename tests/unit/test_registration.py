"""A service is put together of servicers, one for each of its subjects."""

from typing import Any

import pytest
from vwed.v1 import record_service_pb2  # noqa: F401 - what defines the service

from vwed_grpc.limits import Limits
from vwed_grpc.rpc.edge import Edge
from vwed_grpc.rpc.registration import Handlers

RECORDS = "vwed.v1.RecordService"


async def answer(servicer: Any, request: Any, call: Any) -> bytes:
    return b""


def servicer(*rpcs: str) -> object:
    return type("Servicer", (), dict.fromkeys(rpcs, answer))()


async def test_each_rpc_is_found_in_one_servicer() -> None:
    runs = servicer("GetTaskRecord", "CreateTaskRecord")
    Handlers({RECORDS: [runs, servicer("StartTaskRecord")]}, Edge(Limits()))
    with pytest.raises(TypeError, match=r"two servicers of vwed.v1.RecordService have Get"):
        Handlers({RECORDS: [runs, servicer("GetTaskRecord")]}, Edge(Limits()))


async def test_every_servicer_is_checked() -> None:
    with pytest.raises(TypeError, match="has no RPC StartTaskRecrod"):
        Handlers(
            {RECORDS: [servicer("GetTaskRecord"), servicer("StartTaskRecrod")]}, Edge(Limits())
        )
