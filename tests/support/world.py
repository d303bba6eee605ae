"""A tenant that extreme requests are sent to, and what must not come to harm in it."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import grpc
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import code_pb2  # type: ignore[import-untyped]  # has no types
from vwed.v1.block_record_pb2 import BlockRecord, BlockRecordStatus
from vwed.v1.common_pb2 import TimeRange, View
from vwed.v1.record_service_pb2 import (
    CancelTaskRecordRequest,
    FinishTaskRecordRequest,
    ListTaskRecordEventsRequest,
    ListTaskRecordsRequest,
    ReportBlockRequest,
    ReportBlockResponse,
    SummarizeBlockRecordsRequest,
    SummarizeTaskRecordsRequest,
    WatchTaskRecordRequest,
)
from vwed.v1.task_def_service_pb2 import (
    DeleteTaskTemplateRequest,
    ImportTaskDefsRequest,
)
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordStatus

from tests.integration.edge.test_bad_input import METHODS
from tests.support.calls import create_def, delete_def, finish_run, set_entry
from tests.support.definition_calls import create_template
from tests.support.extremes import Place, put
from tests.support.refusals import read_refusal
from tests.support.steps import blocks_of, create, get, running
from tests.support.valid_requests import CONFIG, DEF, ENDED, KEY, RUN, TEMPLATE, VALID
from vwed.client import Client
from vwed_grpc.domain.lifecycle import SUCCEEDED

OUR_FAULT = {"UNKNOWN", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNIMPLEMENTED", "HANGS"}
SECONDS = 30
"""An answer that takes longer, however busy the machine is, does not come."""
AT_ONCE = 16
"""Requests under way together, each beside a report of the tenant-mate."""

GOOD = "run-good"
"""Whom the mate reports to."""


class World:
    """A tenant with something of everything, and a mate in it whose reports must not suffer."""

    def __init__(self, channel: grpc.aio.Channel, client: Client, tenant: str) -> None:
        self.client = client
        self.tenant = tenant
        self._channel = channel
        self._metadata = (("x-vwed-tenant", tenant),)
        self._numbers = itertools.count()
        self._reported = 0
        self._mate = asyncio.Lock()

    async def fill(self) -> None:
        await create_def(self.client, id=DEF, config=CONFIG)
        for run in (RUN, ENDED, "run-2", "run-3", GOOD):
            await running(self.client, DEF, id=run, lease=3_600)
        await finish_run(self.client, ENDED)
        for key, value in (
            (KEY, {"int_value": 1}),
            ("key-2", {"double_value": 1.0}),
        ):
            await set_entry(self.client, RUN, key, **value)
        for id_ in (TEMPLATE, "template-2"):
            await create_template(self.client, id=id_, name=id_)

    def new(self) -> str:
        return f"new-{next(self._numbers)}"

    async def report(self) -> None:
        """The mate's next report, and its answer."""
        async with self._mate:
            self._reported += 1
            block = BlockRecord(
                block_id=f"b{self._reported}", status=BlockRecordStatus.BLOCK_RECORD_STATUS_RUNNING
            )
            request = ReportBlockRequest(task_record_id=GOOD, block_record=block)
            answer: ReportBlockResponse = await self.client.records.ReportBlock(
                request, timeout=SECONDS
            )
            assert answer.seq == self._reported + 2  # after its creation and its start
            assert answer.block_record.block_id == block.block_id
            assert answer.block_record.status == block.status
            assert answer.task_record_status == TaskRecordStatus.TASK_RECORD_STATUS_RUNNING

    async def send(self, method: MethodDescriptor, *raw: bytes) -> str:
        """The code of the answer; a watch is left once it says something."""
        kind = "stream" if method.client_streaming else "unary"
        kind += "_stream" if method.server_streaming else "_unary"
        path = f"/{method.containing_service.full_name}/{method.name}"
        call = getattr(self._channel, kind)(path)(
            raw if method.client_streaming else raw[0], metadata=self._metadata
        )
        try:
            async with asyncio.timeout(SECONDS):
                if method.server_streaming:
                    async for raw_answer in call:
                        message = GetMessageClass(method.output_type).FromString(raw_answer)
                        error = getattr(message, "error", None)  # of one batch in a stream
                        if error is not None and error.code:
                            return str(code_pb2.Code.Name(error.code))
                        if method.name.startswith("Watch"):
                            break
                else:
                    await call
        except TimeoutError:
            return "HANGS"
        except grpc.aio.AioRpcError as error:
            return read_refusal(error).code
        finally:
            call.cancel()
        return "OK"

    async def first_answer(self, method: MethodDescriptor, request: Message) -> Any:
        stub = (
            self.client.definitions
            if "Def" in method.name or "Template" in method.name
            else (self.client.cache if "Cache" in method.name else self.client.records)
        )
        call = getattr(stub, method.name)(request)
        if method.server_streaming:
            async for message in call:
                call.cancel()
                return message
        return await call

    async def finish(self, run: str) -> str:
        request = FinishTaskRecordRequest(id=run, status=SUCCEEDED)
        return await self.send(METHODS["FinishTaskRecord"], request.SerializeToString())

    async def cancel(self, run: str) -> str:
        request = CancelTaskRecordRequest(id=run)
        return await self.send(METHODS["CancelTaskRecord"], request.SerializeToString())

    async def base(self, method: MethodDescriptor) -> Message:
        """A good request that nothing sent before has made a bad one."""
        request = type(VALID[method.name])()
        request.CopyFrom(VALID[method.name])
        if target := TARGETS.get(method.name):
            path, make = target
            put(request, place(method, *path), await make(self))
        if name := NEW_NAMES.get(method.name):
            put(request, place(method, *name), self.new())
        return request

    async def new_def(self) -> str:
        return (await create_def(self.client, name=self.new())).id

    async def deleted_def(self) -> str:
        return (await delete_def(self.client, await self.new_def())).id

    async def new_template(self) -> str:
        return (await create_template(self.client, name=self.new())).id

    async def deleted_template(self) -> str:
        request = DeleteTaskTemplateRequest(id=await self.new_template())
        return (await self.client.definitions.DeleteTaskTemplate(request)).id

    async def running_run(self) -> str:
        return (await running(self.client, DEF, lease=3_600)).id

    async def canceled_run(self) -> str:
        request = CancelTaskRecordRequest(id=(await create(self.client, DEF)).id)
        return (await self.client.records.CancelTaskRecord(request)).id

    def messages(self, request: Message) -> list[Message]:
        """What goes before it in a stream, and itself."""
        if isinstance(request, ImportTaskDefsRequest) and not request.HasField("options"):
            return [VALID["ImportTaskDefs"], request]
        return [request]

    async def with_extreme(self, method: MethodDescriptor, at: Place, value: Any) -> Message:
        request = await self.base(method)
        if isinstance(request, ImportTaskDefsRequest) and at[0].name != "options":
            item = getattr(request, at[0].name)
            item.id = item.name = self.new()
            item.version = 1
        put(request, at, value)
        return request


NEW_NAMES = {
    "CreateTaskDef": ("task_def", "name"),
    "InstantiateTaskTemplate": ("task_def", "name"),
    "CreateTaskTemplate": ("task_template", "name"),
    "ReportBlock": ("block_record", "block_id"),
    "ReportBlocks": ("block_records", "block_id"),
    "StreamBlockReports": ("block_records", "block_id"),
    "IncrementDataCache": ("key",),
}
"""Method -> what must be another one in each of its requests."""
ID = ("id",)
TARGETS: dict[str, tuple[tuple[str, ...], Callable[[World], Awaitable[str]]]] = {
    "UpdateTaskDef": (("task_def", "id"), World.new_def),
    "DisableTaskDef": (ID, World.new_def),
    "DeleteTaskDef": (ID, World.new_def),
    "UndeleteTaskDef": (ID, World.deleted_def),
    "UpdateTaskTemplate": (("task_template", "id"), World.new_template),
    "DeleteTaskTemplate": (ID, World.new_template),
    "UndeleteTaskTemplate": (ID, World.deleted_template),
    "CancelTaskRecord": (ID, World.running_run),
    "FinishTaskRecord": (ID, World.running_run),
    "DeleteTaskRecord": (ID, World.running_run),
    "RetryTaskRecord": (ID, World.canceled_run),
}
"""Method -> what makes a thing for a request that uses it up, or makes it another for the rest."""


def place(method: MethodDescriptor, *path: str) -> Place:
    kind: Descriptor | None = method.input_type
    found = list[FieldDescriptor]()
    for name in path:
        assert kind
        found.append(kind.fields_by_name[name])
        kind = found[-1].message_type
    return tuple(found)


def dotted(at: Place) -> str:
    return ".".join(field.name for field in at)


async def in_turns(work: Sequence[Awaitable[Any]]) -> list[Any]:
    """The results of all, AT_ONCE under way."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(awaitable: Awaitable[Any]) -> Any:
        async with turn:
            return await awaitable

    return await asyncio.gather(*(one(awaitable) for awaitable in work))


async def read_all(world: World) -> None:
    """Everything that is stored of the tenant's runs can be read, counted and watched."""
    client = world.client
    for order in ("create_time", "start_time", "end_time", "priority"):
        listing = ListTaskRecordsRequest(page_size=1_000, view=View.VIEW_FULL, order_by=order)
        runs: list[TaskRecord] = []
        while True:
            answer = await client.records.ListTaskRecords(listing, timeout=SECONDS)
            runs += answer.task_records
            listing.page_token = answer.next_page_token
            if not listing.page_token:
                break
        listing.page_token = ""
    now = int(time.time())
    today = TimeRange(to=Timestamp(seconds=now + 86_400))
    getattr(today, "from").seconds = now - 86_400
    summary = SummarizeTaskRecordsRequest(end_time=today)
    await client.records.SummarizeTaskRecords(summary, timeout=SECONDS)
    by_block = SummarizeBlockRecordsRequest(end_time=today)
    await client.records.SummarizeBlockRecords(by_block, timeout=SECONDS)

    async def read(run: TaskRecord) -> None:
        await get(client, run.id, strong=True)
        await blocks_of(client, run.id)
        events = ListTaskRecordEventsRequest(
            task_record_id=run.id, page_size=1_000, view=View.VIEW_FULL
        )
        await client.records.ListTaskRecordEvents(events, timeout=SECONDS)
        for after_seq in (None, 0):
            request = WatchTaskRecordRequest(
                task_record_id=run.id, view=View.VIEW_FULL, after_seq=after_seq
            )
            watch = client.records.WatchTaskRecord(request, timeout=SECONDS)
            async for _ in watch:
                break
            watch.cancel()

    await in_turns([read(run) for run in runs if run.seq > 1])
