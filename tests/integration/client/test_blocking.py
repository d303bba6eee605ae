"""The blocking client, in threads beside the loop that serves them."""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import ParamSpec, get_overloads, get_type_hints

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from vwed.v1.record_service_pb2 import (
    ClaimTaskRecordsRequest,
    CreateTaskRecordRequest,
    GetTaskRecordRequest,
    ListTaskRecordsRequest,
    StreamBlockReportsRequest,
    WatchTaskRecordRequest,
)
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_def_service_pb2 import (
    CreateTaskDefRequest,
    ExportTaskDefsRequest,
)
from vwed.v1.task_record_event_pb2 import TaskRecordEvent
from vwed.v1.task_record_pb2 import TaskRecord

from tests.support.calls import finish_run
from tests.support.proxy import Proxy
from tests.support.steps import block, report, running
from tests.support.waiting import until_true
from vwed.client import Client, DeadlineExceeded, NotFound, blocking, pages

P = ParamSpec("P")
Connect = Callable[[], AbstractContextManager[blocking.Client]]


def in_a_thread(test: Callable[P, None]) -> Callable[P, Awaitable[None]]:
    """A test that waits for calls, which the session's loop serves."""

    @functools.wraps(test)
    async def run(*args: P.args, **kwargs: P.kwargs) -> None:
        await asyncio.to_thread(test, *args, **kwargs)

    return run


@pytest.fixture
def connect(target: str, tenant: str) -> Connect:
    return functools.partial(blocking.connect, target, tenant=tenant)


def define(client: blocking.Client, name: str = "transport") -> TaskDef:
    request = CreateTaskDefRequest(task_def=TaskDef(name=name))
    return client.definitions.CreateTaskDef(request)


def create_run(client: blocking.Client, task_def_id: str) -> TaskRecord:
    request = CreateTaskRecordRequest(task_record=TaskRecord(task_def_id=task_def_id))
    return client.records.CreateTaskRecord(request)


@in_a_thread
def test_a_call_returns_what_the_async_one_does(connect: Connect) -> None:
    with connect() as client:
        run = create_run(client, define(client).id)
        assert client.records.GetTaskRecord(GetTaskRecordRequest(id=run.id), timeout=10) == run
        with pytest.raises(NotFound) as refused:
            client.records.GetTaskRecord(GetTaskRecordRequest(id="none"))
        assert refused.value.reason == "TASK_RECORD_NOT_FOUND"
        waits = ClaimTaskRecordsRequest(executor_id="robot-1", wait=Duration(seconds=60))
        client.records.ClaimTaskRecords(waits)
        with pytest.raises(DeadlineExceeded):
            client.records.ClaimTaskRecords(waits, timeout=0.1)


@in_a_thread
def test_a_client_is_closed_after_its_block(connect: Connect) -> None:
    with connect() as client:
        run = create_run(client, define(client).id)
        watch = blocking.watch_run(client, run.id)
        assert next(watch).seq == 1
    with pytest.raises(RuntimeError, match="the client was closed"):
        next(watch)
    with pytest.raises(grpc.aio.UsageError, match="closed"):
        client.records.GetTaskRecord(GetTaskRecordRequest(id=run.id))


@in_a_thread
def test_threads_share_a_client(connect: Connect) -> None:
    with connect() as client, ThreadPoolExecutor(8) as threads:
        definition = define(client).id
        made = {run.id for run in threads.map(create_run, [client] * 40, [definition] * 40)}
        assert len(made) == 40
        listed = blocking.pages(client.records.ListTaskRecords, ListTaskRecordsRequest(page_size=7))
        assert {run.id for run in listed} == made


def test_the_same_lists_have_pages() -> None:
    def typed(overloaded: Callable[..., object]) -> list[tuple[object, object]]:
        hints = [get_type_hints(overload) for overload in get_overloads(overloaded)]
        return [(hint["request"], hint["return"].__args__) for hint in hints]

    assert typed(blocking.pages) == typed(pages)


async def test_a_watch_goes_on_over_broken_connections(
    client: Client, link: Proxy, tenant: str
) -> None:
    run = (await running(client)).id
    told = list[TaskRecordEvent]()

    def watch() -> None:
        with blocking.connect(f"127.0.0.1:{link.port}", tenant=tenant) as behind:
            told.extend(blocking.watch_run(behind, run, after_seq=0))

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(asyncio.to_thread(watch))
        for n in range(3):
            await report(client, run, block(f"block-{n}"))
            await link.cut()
        await finish_run(client, run)
    assert [event.seq for event in told] == [*range(1, told[-1].seq + 1)]
    assert told[-1].task_record.end_time.seconds


@in_a_thread
def test_many_runs_are_watched(connect: Connect) -> None:
    with connect() as client:
        run = create_run(client, define(client).id)
        watch = blocking.watch_runs(client)
        assert [event.task_record_id for event in next(watch).events] == [run.id]
        watch.close()


@in_a_thread
def test_a_stream_that_is_left_is_ended(connect: Connect) -> None:
    async def nothing_runs() -> bool:
        return asyncio.all_tasks() == {asyncio.current_task()}

    with connect() as client:
        run = create_run(client, define(client).id)
        request = WatchTaskRecordRequest(task_record_id=run.id)
        for stream in blocking.watch_run(client, run.id), client.records.WatchTaskRecord(request):
            next(iter(stream))
            assert not client.loop.run(nothing_runs())
            del stream
        client.loop.run(until_true(nothing_runs, what="the end of both calls"))


@in_a_thread
def test_a_stream_of_responses_is_an_iterator(connect: Connect) -> None:
    with connect() as client:
        names = [define(client, f"definition {n}").name for n in range(3)]
        exported = client.definitions.ExportTaskDefs(ExportTaskDefsRequest())
        assert [item.task_def.name for item in exported] == names


@in_a_thread
def test_streams_of_requests_are_left_to_the_async_client(connect: Connect) -> None:
    with connect() as client, pytest.raises(NotImplementedError, match="async client"):
        client.records.StreamBlockReports(iter([StreamBlockReportsRequest()]))


@in_a_thread
def test_a_token_cannot_be_asked_for_with_the_client_itself(target: str) -> None:
    def token() -> str:
        return client.records.GetTaskRecord(GetTaskRecordRequest(id="token")).id

    with blocking.connect(target, token=token) as client, pytest.raises(RuntimeError, match="wait"):
        client.records.GetTaskRecord(GetTaskRecordRequest(id="run"))
