"""Nothing crosses tenants: to every RPC, what another tenant has is not there."""

import time
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import code_pb2  # type: ignore[import-untyped]  # has no types
from vwed.v1 import record_service_pb2 as r
from vwed.v1 import task_def_service_pb2 as t
from vwed.v1.block_record_pb2 import BlockRecord
from vwed.v1.common_pb2 import TimeRange

from tests.integration.edge.test_bad_input import METHODS
from tests.support.calls import create_run, finish_run, stub_of
from tests.support.refusals import read_refusal
from tests.support.steps import report, running
from tests.support.stored import stored
from tests.support.valid_requests import DEF, RUN, VALID
from tests.support.world import World
from vwed.client import Client, connect

NEXT_YEAR = Timestamp(seconds=int(time.time()) + 365 * 86_400)
RECENTLY = TimeRange(to=Timestamp(seconds=int(time.time()) + 86_400))
getattr(RECENTLY, "from").seconds = RECENTLY.to.seconds - 2 * 86_400
OF_ALL: list[Message] = [
    t.ListTaskDefsRequest(show_deleted=True),
    t.ListTaskTemplatesRequest(show_deleted=True),
    t.ExportTaskDefsRequest(),
    r.ListTaskRecordsRequest(),
    r.SummarizeTaskRecordsRequest(end_time=RECENTLY),
    r.SummarizeBlockRecordsRequest(end_time=RECENTLY),
    r.WatchTaskRecordsRequest(bookmark_interval=Duration(seconds=1)),
    r.ClaimTaskRecordsRequest(executor_id="robot-1"),
    r.PruneTaskRecordsRequest(ended_before=NEXT_YEAR),
]
"""They name nothing, and answer what there is; its owner is asked after the other tenant."""
NAMES_ARE_FREE = {"CreateTaskDef", "CreateTaskTemplate", "ImportTaskDefs"}


async def test_what_another_tenant_has_is_not_there(
    client: Client, target: str, tenant: str, database_url: str
) -> None:
    async with (
        grpc.aio.insecure_channel(target) as channel,
        connect(target, tenant=f"{tenant}-2", bare=True) as other,
    ):
        await World(channel, client, tenant).fill()
        run = await running(client, DEF)
        await report(client, run.id, BlockRecord(block_id="b"))
        await finish_run(client, run.id)
        await create_run(client, DEF)
        reported = await report(client, RUN, BlockRecord(block_id="b"))
        block = r.GetBlockRecordRequest(task_record_id=RUN, id=reported.block_records[0].id)
        requests = VALID | {"GetBlockRecord": block}
        named = requests.keys() - {_name(request) for request in OF_ALL} - NAMES_ARE_FREE
        with stored(database_url, tenant) as look:
            before = look()
            found = {name: await answer(other, requests[name]) for name in named}
            of_all = {_name(request): await answer(other, request) for request in OF_ALL}
            assert look() == before
        own = {_name(request): await answer(client, request) for request in OF_ALL}
    assert found == dict.fromkeys(found, "NOT_FOUND")
    assert of_all == dict.fromkeys(of_all, "nothing")
    assert own == dict.fromkeys(own, "something")
    assert found.keys() | of_all.keys() | NAMES_ARE_FREE == METHODS.keys()


async def answer(client: Client, request: Message) -> str:
    """The code of a refusal; else whether there is something in the first answer."""
    sent: Any = iter([request]) if METHODS[_name(request)].client_streaming else request
    call = stub_of(client, request)(sent)
    try:
        first = await (anext(aiter(call), None) if hasattr(call, "__aiter__") else call)
    except grpc.aio.AioRpcError as error:
        return read_refusal(error).code
    finally:
        call.cancel()
    if first is not None and "error" in first.DESCRIPTOR.fields_by_name:  # of one batch
        return str(code_pb2.Code.Name(first.error.code))
    told = dict[str, Any]() if first is None else {f.name: v for f, v in first.ListFields()}
    for name in ("resume_token", "snapshot"):  # of a watch, which begins
        told.pop(name, None)
    # The figures of no runs at all are empty as well.
    return "something" if any(_is_something(value) for value in told.values()) else "nothing"


def _is_something(value: Any) -> bool:
    return any(item.ByteSize() for item in value) if hasattr(value, "__len__") else bool(value)


def _name(request: Message) -> str:
    return request.DESCRIPTOR.name.removesuffix("Request")
