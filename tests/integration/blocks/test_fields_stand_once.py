"""Each field of an event stands once on the wire, for readers that replace instead of merging.

protobufjs, and so `@grpc/proto-loader`, keeps the last of two message fields alone.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import Descriptor
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet
from vwed.v1.common_pb2 import View
from vwed.v1.record_service_pb2 import (
    DeleteTaskRecordRequest,
    FinishTaskRecordRequest,
    ListTaskRecordEventsRequest,
    ListTaskRecordEventsResponse,
    RetryTaskRecordRequest,
    SignalTaskRecordRequest,
    WatchTaskRecordRequest,
    WatchTaskRecordResponse,
    WatchTaskRecordsRequest,
    WatchTaskRecordsResponse,
)
from vwed.v1.task_record_event_pb2 import TaskRecordEvent
from vwed.v1.task_record_pb2 import TaskRecordFilter, TaskRecordStatus

from tests.support.calls import SUCCEEDED, json_object
from tests.support.steps import block, define, report, running
from vwed.client import Client

FAILED = TaskRecordStatus.TASK_RECORD_STATUS_FAILED
VIEWS = (View.VIEW_BASIC, View.VIEW_FULL)
LONG = {"note": "x" * 300}
"""Its length takes more than one byte on the wire."""


def repeated_singulars(of: Descriptor, raw: bytes, path: str = "") -> Iterator[str]:
    """The fields, at any depth, that stand more than once and are no lists."""
    found = UnknownFieldSet(Empty.FromString(raw))
    fields = [
        (of.fields_by_number[found[n].field_number], found[n].data) for n in range(len(found))
    ]
    times = Counter(field.name for field, _ in fields if not field.is_repeated)
    yield from (f"{path}{name}" for name, count in times.items() if count > 1)
    for field, data in fields:
        if field.message_type is not None:
            yield from repeated_singulars(field.message_type, data, f"{path}{field.name}.")


class Raw:
    """Calls a method and leaves its answers as they came."""

    def __init__(self, channel: grpc.aio.Channel, tenant: str) -> None:
        self._channel = channel
        self._metadata = (("x-vwed-tenant", tenant),)

    async def list(self, request: ListTaskRecordEventsRequest) -> bytes:
        call: Any = self._channel.unary_unary(
            "/vwed.v1.RecordService/ListTaskRecordEvents",
            ListTaskRecordEventsRequest.SerializeToString,
        )
        answer: bytes = await call(request, metadata=self._metadata)
        return answer

    @asynccontextmanager
    async def watch(self, method: str, request: Message) -> AsyncIterator[AsyncIterator[bytes]]:
        call: Any = self._channel.unary_stream(
            f"/vwed.v1.RecordService/{method}", type(request).SerializeToString
        )(request, metadata=self._metadata)
        try:
            yield aiter(call)
        finally:
            call.cancel()


@pytest.fixture
async def raw(target: str, tenant: str) -> AsyncIterator[Raw]:
    async with grpc.aio.insecure_channel(target) as channel:
        yield Raw(channel, tenant)


def at_least(count: int) -> Callable[[list[TaskRecordEvent]], bool]:
    return lambda told: len(told) >= count


async def read(
    stream: AsyncIterator[bytes],
    answer: type[WatchTaskRecordResponse | WatchTaskRecordsResponse],
    until: Callable[[list[TaskRecordEvent]], bool],
) -> list[TaskRecordEvent]:
    """Reads until the events are what is waited for; none may have a field twice."""
    events: list[TaskRecordEvent] = []
    async with asyncio.timeout(10):
        async for message in stream:
            assert list(repeated_singulars(answer.DESCRIPTOR, message)) == []
            events += answer.FromString(message).events
            if until(events):
                break
    return events


async def live_one(client: Client) -> str:
    """A run with a payload in each kind of event that has one."""
    task_def = await define(client)
    run = await running(client, task_def.id, input=json_object(**LONG), labels={"zone": "A"})
    await report(client, run.id, block("a", input_data=LONG))
    await report(
        client,
        run.id,
        block("b", input_data={"n": 1}, output_data=LONG),
        block("a", output_data={"n": 2}),
    )
    await client.records.SignalTaskRecord(
        SignalTaskRecordRequest(id=run.id, name="n", payload=json_object(**LONG))
    )
    return run.id


async def finish(client: Client, run: str) -> None:
    await client.records.FinishTaskRecord(
        FinishTaskRecordRequest(id=run, status=SUCCEEDED, result=json_object(**LONG))
    )


EVERY_PAYLOAD = {"input", "result", "input_data", "output_data"}


def payloads(events: list[TaskRecordEvent]) -> set[str]:
    """Which payload fields the events have, to see that there was something to repeat."""
    return {
        name
        for event in events
        for record in (event.task_record, event.block_record)
        for field, _ in record.ListFields()
        if (name := field.name) in EVERY_PAYLOAD
    }


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("snapshot", [False, True])
async def test_of_one_run(
    client: Client, raw: Raw, view: View.ValueType, *, snapshot: bool
) -> None:
    run = await live_one(client)
    after_seq = None if snapshot else 0
    request = WatchTaskRecordRequest(task_record_id=run, view=view, after_seq=after_seq)
    async with raw.watch("WatchTaskRecord", request) as stream:
        events = await read(stream, WatchTaskRecordResponse, at_least(3))
        await finish(client, run)
        events += await read(stream, WatchTaskRecordResponse, lambda _: False)
    assert events[-1].task_record.status == SUCCEEDED
    assert payloads(events) == (EVERY_PAYLOAD if view == View.VIEW_FULL else set())


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("include_blocks", [False, True])
async def test_of_many_runs(
    client: Client, raw: Raw, view: View.ValueType, *, include_blocks: bool
) -> None:
    before = await live_one(client)
    request = WatchTaskRecordsRequest(
        view=view,
        include_blocks=include_blocks,
        filter=TaskRecordFilter(labels={"zone": "A"}),
    )
    async with raw.watch("WatchTaskRecords", request) as stream:
        events = await read(stream, WatchTaskRecordsResponse, at_least(1))
        assert events[0].task_record_id == before
        after = await live_one(client)
        await finish(client, after)

        def over(told: list[TaskRecordEvent]) -> bool:
            return any(
                e.task_record_id == after and e.task_record.status == SUCCEEDED for e in told
            )

        events += await read(stream, WatchTaskRecordsResponse, over)
    blocks = {"input_data", "output_data"} if include_blocks else set()
    assert payloads(events) == ({"input", "result"} | blocks if view == View.VIEW_FULL else set())


@pytest.mark.parametrize("view", VIEWS)
async def test_of_a_history(client: Client, raw: Raw, view: View.ValueType) -> None:
    run = await live_one(client)
    await client.records.FinishTaskRecord(
        FinishTaskRecordRequest(id=run, status=FAILED, result=json_object(**LONG))
    )
    again = await client.records.RetryTaskRecord(
        RetryTaskRecordRequest(id=run, mode=RetryTaskRecordRequest.Mode.MODE_FROM_FAILURE)
    )
    gone = await live_one(client)
    await client.records.DeleteTaskRecord(DeleteTaskRecordRequest(id=gone, force=True))
    for id_ in (run, again.id, gone):
        answer = await raw.list(ListTaskRecordEventsRequest(task_record_id=id_, view=view))
        assert list(repeated_singulars(ListTaskRecordEventsResponse.DESCRIPTOR, answer)) == []
        request = WatchTaskRecordRequest(task_record_id=id_, view=view, after_seq=0)
        listed = list(ListTaskRecordEventsResponse.FromString(answer).events)
        if listed[-1].HasField("deleted"):
            continue
        async with raw.watch("WatchTaskRecord", request) as stream:
            watched = await read(stream, WatchTaskRecordResponse, at_least(len(listed)))
        assert watched == listed
