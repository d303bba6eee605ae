"""A call that failed is gone with its last reference, and waits for no collector.

Whatever a circle holds, an uploaded request or a page of answers, stays until a collection, which
is after thousands of calls: many callers who are refused would fill the memory.
"""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from types import FrameType
from typing import Any

import grpc
import pytest
from vwed.v1.cache_service_pb2 import GetDataCacheRequest, SetDataCacheRequest
from vwed.v1.data_cache_pb2 import DataCache
from vwed.v1.record_service_pb2 import (
    ClaimTaskRecordsRequest,
    GetTaskRecordRequest,
    HeartbeatTaskRecordRequest,
    PauseTaskRecordRequest,
    ReportBlockRequest,
    RetryTaskRecordRequest,
    StreamBlockReportsRequest,
    WatchTaskRecordRequest,
)
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_def_service_pb2 import ImportTaskDefsRequest

from tests.support.calls import create_def, update_def
from tests.support.definition_calls import import_
from tests.support.steps import block, define, running, seconds
from tests.support.waiting import until_true
from vwed.client import Client

OURS = "/vwed_grpc/"


async def not_found(client: Client) -> None:
    await client.records.GetTaskRecord(GetTaskRecordRequest(id="none"))


async def refused_by_a_rule(client: Client) -> None:
    await client.cache.GetDataCache(GetDataCacheRequest())


async def large_and_refused(client: Client) -> None:
    entry = DataCache(task_record_id="none", key="k", string_value="x" * 500_000)
    await client.cache.SetDataCache(SetDataCacheRequest(data_cache=entry))


async def refused_by_the_table_of_states(client: Client) -> None:
    run = await running(client)
    await client.records.RetryTaskRecord(RetryTaskRecordRequest(id=run.id))


async def refused_in_a_commit_of_many(client: Client) -> None:
    report = ReportBlockRequest(task_record_id="none", block_record=block("a"))
    await client.records.ReportBlock(report)


async def heartbeat_of_another(client: Client) -> None:
    run = await running(client, lease=60)
    beat = HeartbeatTaskRecordRequest(id=run.id, executor_id="robot-2", lease_epoch=1)
    await client.records.HeartbeatTaskRecord(beat)


async def operator_too_late(client: Client) -> None:
    run = await running(client)
    pause = PauseTaskRecordRequest(id=run.id, etag='"0"')
    await client.records.PauseTaskRecord(pause)


async def stale_etag(client: Client) -> None:
    made = await create_def(client)
    await update_def(client, TaskDef(id=made.id, name="other", etag='"0"'), "name")


async def refused_in_a_stream(client: Client) -> None:
    batches = [
        StreamBlockReportsRequest(batch_id="1", task_record_id="none", block_records=[block("a")]),
        StreamBlockReportsRequest(batch_id="2"),
    ]
    async for answer in client.records.StreamBlockReports(iter(batches)):
        assert answer.HasField("error")


async def bad_import(client: Client) -> None:
    await client.definitions.ImportTaskDefs(iter([ImportTaskDefsRequest()]))


async def import_with_a_bad_item(client: Client) -> None:
    held = await define(client)
    other = TaskDef(id=f"other-{held.id}", name=held.name, version=1)
    assert (await import_(client, other)).errors


async def watch_of_none(client: Client) -> None:
    async for _ in client.records.WatchTaskRecord(WatchTaskRecordRequest(task_record_id="none")):
        pass


async def watch_that_is_left(client: Client) -> None:
    run = await running(client)
    watch = client.records.WatchTaskRecord(WatchTaskRecordRequest(task_record_id=run.id))
    await anext(aiter(watch))
    watch.cancel()


async def claim_that_is_left(client: Client) -> None:
    claim = ClaimTaskRecordsRequest(executor_id="robot", wait=seconds(20), lease=seconds(20))
    await client.records.ClaimTaskRecords(claim, timeout=0.2)


CALLS: list[Callable[[Client], Awaitable[None]]] = [
    not_found,
    refused_by_a_rule,
    large_and_refused,
    refused_by_the_table_of_states,
    refused_in_a_commit_of_many,
    heartbeat_of_another,
    operator_too_late,
    stale_etag,
    refused_in_a_stream,
    bad_import,
    import_with_a_bad_item,
    watch_of_none,
    watch_that_is_left,
    claim_that_is_left,
]


def nobody_is_served() -> bool:
    """gRPC has two tasks for each call."""
    names = {each.get_coro().__qualname__ for each in asyncio.all_tasks()}  # type: ignore[union-attr]  # tasks of coroutines
    return names.isdisjoint({"_schedule_rpc_coro", "_handle_exceptions"})


@pytest.fixture
def garbage() -> Iterator[Callable[[], list[Any]]]:
    """What has become garbage in circles since the test began."""

    def found() -> list[Any]:
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        gc.set_debug(0)
        return gc.garbage

    gc.collect()
    gc.disable()
    yield found
    gc.garbage.clear()
    gc.enable()


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
async def test_a_call_that_fails_leaves_no_circle(
    client: Client, garbage: Callable[[], list[Any]], call: Callable[[Client], Awaitable[None]]
) -> None:
    for _ in range(3):  # the last call is held until the next one comes
        with suppress(grpc.aio.AioRpcError, asyncio.CancelledError):
            await call(client)
    await until_true(nobody_is_served, what="the end of the call")
    frames = [each.f_code for each in garbage() if isinstance(each, FrameType)]
    assert [each.co_qualname for each in frames if OURS in each.co_filename] == []
