"""Calls that were carried out, but whose answer was lost with the connection."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import pytest
from vwed.v1.cache_service_pb2 import (
    IncrementDataCacheRequest,
    ListDataCacheRequest,
    SetDataCacheRequest,
)
from vwed.v1.record_service_pb2 import (
    ClaimTaskRecordsRequest,
    CreateTaskRecordRequest,
    DeleteTaskRecordRequest,
    ListTaskRecordsRequest,
    SignalTaskRecordRequest,
    UpdateTaskRecordRequest,
)
from vwed.v1.task_record_pb2 import TaskRecord

from tests.support.calls import get_entry
from tests.support.proxy import Proxy
from tests.support.steps import block, create, define, get, history, report, running
from tests.support.waiting import until_true
from vwed.client import CallError, Client, Unavailable, data_cache

Answer = TypeVar("Answer")


@asynccontextmanager
async def losing(
    link: Proxy, behind: Client, call: Awaitable[Answer], done: Callable[[], Awaitable[object]]
) -> AsyncIterator[asyncio.Future[Answer]]:
    """Makes the call; its answer is lost, once `done` has found that it was carried out."""
    await behind.records.ListTaskRecords(ListTaskRecordsRequest())  # connected, both ways
    link.hold_answers()
    calling = asyncio.ensure_future(call)
    await until_true(done, what="what was asked")
    assert not calling.done()
    await link.cut()
    link.thaw()
    yield calling


async def test_a_run_is_made_once(client: Client, behind: Client, link: Proxy) -> None:
    definition = await define(client)
    request = CreateTaskRecordRequest(task_record=TaskRecord(task_def_id=definition.id))

    async def runs() -> list[str]:
        listed = await client.records.ListTaskRecords(ListTaskRecordsRequest())
        return [run.id for run in listed.task_records]

    async with losing(link, behind, behind.records.CreateTaskRecord(request), runs) as created:
        assert [(await created).id] == await runs()
    assert not request.request_id, "who makes two runs of one request wants two"
    assert (await behind.records.CreateTaskRecord(request)).id != (await created).id


async def test_an_increment_counts_once(client: Client, behind: Client, link: Proxy) -> None:
    run = (await create(client)).id
    increment = IncrementDataCacheRequest(task_record_id=run, key="n", int_delta=3)

    async def entries() -> int:
        found = await client.cache.ListDataCache(ListDataCacheRequest(task_record_id=run))
        return len(found.data_caches)

    calling = behind.cache.IncrementDataCache(increment)
    async with losing(link, behind, calling, entries) as incremented:
        assert (await incremented).int_value == 3
    assert (await get_entry(client, run, "n")).int_value == 3


async def test_a_claim_answers_the_runs_that_it_got(
    client: Client, behind: Client, link: Proxy
) -> None:
    definition = await define(client)
    runs = {(await create(client, definition.id)).id for _ in range(2)}
    claim = ClaimTaskRecordsRequest(executor_id="robot-1", max_count=2)

    async def held() -> bool:
        return all([(await get(client, run)).executor_id for run in runs])

    async with losing(link, behind, behind.records.ClaimTaskRecords(claim), held) as claimed:
        found = (await claimed).task_records
    assert {run.id for run in found} == runs
    assert {run.lease_epoch for run in found} == {1}
    assert not claim.request_id


async def test_a_signal_and_a_report_leave_one_event(
    client: Client, behind: Client, link: Proxy
) -> None:
    run = (await running(client)).id
    signal = SignalTaskRecordRequest(id=run, name="hurry")

    async def signalled() -> bool:
        return len(await history(client, run)) > 2

    async with losing(link, behind, behind.records.SignalTaskRecord(signal), signalled) as sent:
        await sent

    async def reported() -> bool:
        return len(await history(client, run)) > 3

    async with losing(link, behind, report(behind, run, block("a")), reported) as answer:
        assert [*(await answer).seqs] == [4]
    assert len(await history(client, run)) == 4


async def test_a_deletion_is_not_made_again(client: Client, behind: Client, link: Proxy) -> None:
    run = (await create(client)).id

    async def gone() -> bool:
        return not (await client.records.ListTaskRecords(ListTaskRecordsRequest())).task_records

    deletion = behind.records.DeleteTaskRecord(DeleteTaskRecordRequest(id=run, force=True))
    async with losing(link, behind, deletion, gone) as deleted:
        with pytest.raises(Unavailable):
            await deleted


async def test_what_demands_a_state_is_not_made_again(
    client: Client, behind: Client, link: Proxy
) -> None:
    record = await create(client)
    first = SetDataCacheRequest(data_cache=data_cache(record.id, "k", 1), if_absent=True)

    async def entries() -> int:
        found = await client.cache.ListDataCache(ListDataCacheRequest(task_record_id=record.id))
        return len(found.data_caches)

    async with losing(link, behind, behind.cache.SetDataCache(first), entries) as kept:
        with pytest.raises(Unavailable):
            await kept

    change = UpdateTaskRecordRequest(
        task_record=TaskRecord(id=record.id, priority=5, etag=record.etag)
    )

    async def updated() -> bool:
        return (await get(client, record.id)).priority == 5

    async with losing(link, behind, behind.records.UpdateTaskRecord(change), updated) as changed:
        with pytest.raises(CallError) as lost:
            await changed
    assert type(lost.value) is Unavailable, "not ABORTED, as if somebody else had changed it"
