"""What one kind of work takes of the database keeps no other kind waiting."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import grpc
import psycopg
import pytest
from vwed.v1.block_record_pb2 import BlockRecordStatus
from vwed.v1.cache_service_pb2 import ListDataCacheRequest
from vwed.v1.record_service_pb2 import (
    FinishTaskRecordRequest,
    GetBlockRecordRequest,
    HeartbeatTaskRecordRequest,
    ListBlockRecordsRequest,
    ListTaskRecordEventsRequest,
    ListTaskRecordsRequest,
    PauseTaskRecordRequest,
    PruneTaskRecordsRequest,
    SummarizeTaskRecordsRequest,
    WatchTaskRecordRequest,
)
from vwed.v1.task_def_service_pb2 import (
    ExportTaskDefsRequest,
    ListTaskDefsRequest,
    ListTaskTemplatesRequest,
)

from tests.integration.lists.test_summaries_of_runs import DAY, between, stamp
from tests.support.history_of import End, write_runs
from tests.support.locks import locked as row_locked
from tests.support.refusals import read_refusal
from tests.support.steps import block, get, report, running, sql, until
from tests.support.waiting import PATIENCE, until_true
from vwed.client import Client, connect, is_transient
from vwed_grpc.domain.lifecycle import INTERRUPTED, SUCCEEDED
from vwed_grpc.server import serving
from vwed_grpc.settings import Settings

BEGUN = BlockRecordStatus.BLOCK_RECORD_STATUS_RUNNING


PRUNERS = 8


@asynccontextmanager
async def locked(database_url: str) -> AsyncIterator[None]:
    """Who lists or exports templates, or deletes runs, waits; executors do neither."""
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        await connection.execute("LOCK TABLE task_templates, task_record_labels")
        yield


@asynccontextmanager
async def served(settings: Settings, patience: float) -> AsyncIterator[str]:
    async with serving(settings.model_copy(update={"statement_timeout": patience})) as port:
        yield f"127.0.0.1:{port}"


@pytest.fixture
async def ended(database_url: str, tenant: str) -> list[str]:
    """Tenants that have a run to prune each."""
    tenants = [f"{tenant}-{n}" for n in range(PRUNERS)]
    for each in tenants:
        await write_runs(database_url, each, End(DAY, 1, 1, SUCCEEDED))
    return tenants


def lists(client: Client, count: int) -> list[Awaitable[Any]]:
    request = ListTaskTemplatesRequest()
    return [client.definitions.ListTaskTemplates(request) for _ in range(count)]


async def export(client: Client) -> int:
    return len([item async for item in client.definitions.ExportTaskDefs(ExportTaskDefsRequest())])


def summaries(client: Client, count: int) -> list[Awaitable[Any]]:
    span = between(DAY, DAY + timedelta(days=1))
    request = SummarizeTaskRecordsRequest(end_time=span)
    return [client.records.SummarizeTaskRecords(request) for _ in range(count)]


@asynccontextmanager
async def clients(target: str, tenants: Sequence[str]) -> AsyncIterator[list[Client]]:
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(connect(target, tenant=t, bare=True)) for t in tenants
        ]


def prunes(each: Sequence[Client]) -> list[Awaitable[Any]]:
    request = PruneTaskRecordsRequest(ended_before=stamp(DAY + timedelta(days=1)))
    return [client.records.PruneTaskRecords(request) for client in each]


async def hang(calls: Iterable[Awaitable[Any]], database_url: str, at_once: int) -> list[Any]:
    """The calls as futures, once that many of them wait for the lock."""
    futures = [asyncio.ensure_future(call) for call in calls]
    waiting = "SELECT pid FROM pg_locks JOIN pg_database d ON d.oid = database WHERE NOT granted"
    waiting += " AND datname = current_database()"

    async def hanging() -> bool:
        return len(await sql(database_url, waiting)) >= at_once

    await until_true(hanging)
    return futures


async def test_lists_exports_and_figures_that_hang_keep_no_executor_waiting(
    settings: Settings, database_url: str, tenant: str, ended: list[str]
) -> None:
    async with (
        served(settings, PATIENCE) as target,
        connect(target, tenant=tenant, bare=True) as client,
        clients(target, ended) as pruners,
    ):
        run = await running(client, lease=60)
        fence: dict[str, Any] = {"executor_id": "robot-1", "lease_epoch": run.lease_epoch}
        silent = await running(client, lease=1)
        async with locked(database_url):
            hanging = await hang(prunes(pruners), database_url, 2)
            hanging += [asyncio.ensure_future(call) for call in summaries(client, 20)]
            exports = [export(client) for _ in range(8)]
            hanging += await hang([*lists(client, 20), *exports], database_url, 6)
            async with asyncio.timeout(PATIENCE / 2):
                for n in range(5):
                    beat = HeartbeatTaskRecordRequest(id=run.id, **fence)
                    await client.records.HeartbeatTaskRecord(beat)
                    answer = await report(client, run.id, block(f"b{n}", BEGUN), **fence)
                    wanted = GetBlockRecordRequest(
                        task_record_id=run.id, id=answer.block_records[0].id
                    )
                    assert (await client.records.GetBlockRecord(wanted)).block_id == f"b{n}"
                    assert (await get(client, run.id, strong=True)).block_counts.total >= n
                await until(client, silent.id, INTERRUPTED)
                end = FinishTaskRecordRequest(id=run.id, status=SUCCEEDED, **fence)
                await client.records.FinishTaskRecord(end)
            assert [call for call in hanging if call.done()] == []
        # On a slow machine some have waited for longer than calls may.
        await asyncio.gather(*hanging, return_exceptions=True)


async def test_totals_that_hang_keep_no_list_waiting(
    settings: Settings, database_url: str, tenant: str, ended: list[str]
) -> None:
    """They have the connections of figures, and leave the places of lists meanwhile."""
    one_list = settings.model_copy(update={"bulk_calls": 1})
    async with (
        served(one_list, PATIENCE) as target,
        connect(target, tenant=tenant, bare=True) as client,
        clients(target, ended) as pruners,
    ):
        run = await running(client)
        lists_of: list[Callable[..., Awaitable[Any]]] = [
            partial(client.definitions.ListTaskDefs, ListTaskDefsRequest(include_total=True)),
            partial(client.records.ListTaskRecords, ListTaskRecordsRequest(include_total=True)),
            partial(
                client.records.ListBlockRecords,
                ListBlockRecordsRequest(task_record_id=run.id, include_total=True),
            ),
            partial(
                client.records.ListTaskRecordEvents,
                ListTaskRecordEventsRequest(task_record_id=run.id, include_total=True),
            ),
            partial(
                client.cache.ListDataCache,
                ListDataCacheRequest(task_record_id=run.id, include_total=True),
            ),
        ]
        async with locked(database_url):
            hanging = await hang(prunes(pruners[:2]), database_url, 2)
            totals = [asyncio.ensure_future(list_()) for list_ in lists_of]
            async with asyncio.timeout(PATIENCE / 2):
                for _ in range(10):
                    await client.records.ListTaskRecords(ListTaskRecordsRequest())
            assert [call for call in totals if call.done()] == []
        assert [(await call).total_size for call in totals] == [1, 1, 0, 2, 0]
        await asyncio.gather(*hanging)


async def test_watchers_that_catch_up_have_the_connections_of_lists(
    client: Client, database_url: str
) -> None:
    run = await running(client)
    await report(client, run.id, block("a", BEGUN))
    for request in (
        WatchTaskRecordRequest(task_record_id=run.id),
        WatchTaskRecordRequest(task_record_id=run.id, after_seq=0),
    ):
        async with await psycopg.AsyncConnection.connect(database_url) as connection:
            await connection.execute("LOCK TABLE block_records, task_record_events")
            watch = client.records.WatchTaskRecord(request)

            async def waits() -> bool:
                names = await sql(
                    database_url,
                    "SELECT application_name FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                    " AND datname = current_database()",
                )
                return "vwed-grpc bulk" in {name for (name,) in names}

            await until_true(waits)
        assert (await anext(aiter(watch))).events
        watch.cancel()


async def test_transitions_that_hang_keep_no_report_waiting(
    settings: Settings, database_url: str, tenant: str
) -> None:
    """Those that an executor cannot do without have connections that no other call may take."""
    async with (
        served(settings, PATIENCE) as target,
        connect(target, tenant=tenant, bare=True) as client,
    ):
        run = await running(client, lease=60)
        busy = await running(client)
        fence: dict[str, Any] = {"executor_id": "robot-1", "lease_epoch": run.lease_epoch}
        async with row_locked(database_url, "task_records", "id", busy.id):
            pause = PauseTaskRecordRequest(id=busy.id)
            pauses = [client.records.PauseTaskRecord(pause) for _ in range(20)]
            hanging = await hang(
                pauses, database_url, 2
            )  # a third waits for the first's transaction
            async with asyncio.timeout(PATIENCE / 2):
                beat = HeartbeatTaskRecordRequest(id=run.id, **fence)
                await client.records.HeartbeatTaskRecord(beat)
                await report(client, run.id, block("a", BEGUN), **fence)
                end = FinishTaskRecordRequest(id=run.id, status=SUCCEEDED, **fence)
                await client.records.FinishTaskRecord(end)
            assert [call for call in hanging if call.done()] == []
        await asyncio.gather(*hanging)


async def test_who_waits_too_long_is_told_which_connections_are_taken(
    settings: Settings, database_url: str, tenant: str, ended: list[str]
) -> None:
    async with (
        served(settings, 1.0) as target,
        connect(target, tenant=tenant, bare=True) as client,
        locked(database_url),
        clients(target, ended) as pruners,
    ):
        for calls, limit in (
            (prunes(pruners), "FIGURES_CONNECTIONS"),
            (lists(client, 8), "BULK_CONNECTIONS"),
        ):
            errors = await asyncio.gather(*calls, return_exceptions=True)
            reasons = {_reason(error) for error in errors}
            assert reasons == {limit, "STATEMENT_TIMEOUT"}


def _reason(error: Any) -> str:
    assert isinstance(error, grpc.aio.AioRpcError)
    refusal = read_refusal(error)
    assert refusal.code == "RESOURCE_EXHAUSTED"
    assert is_transient(error) is (refusal.reason != "STATEMENT_TIMEOUT")  # by its RetryInfo
    return refusal.reason
