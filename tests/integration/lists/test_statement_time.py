"""A query that takes longer than one may is given up, and says so."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa
from grpc import StatusCode
from sqlalchemy.ext.asyncio import create_async_engine
from vwed.v1.record_service_pb2 import (
    GetBlockRecordRequest,
    GetTaskRecordRequest,
    ListBlockRecordsRequest,
)

from tests.support.steps import refused, running
from tests.support.waiting import PATIENCE
from vwed.client import Client, connect
from vwed_grpc.server import serving
from vwed_grpc.settings import Settings


@pytest.fixture
async def impatient(settings: Settings, tenant: str) -> AsyncIterator[Client]:
    """At a server whose statements have a fifth of a second."""
    hasty = settings.model_copy(update={"statement_timeout": 0.2})
    async with (
        serving(hasty) as port,
        connect(f"127.0.0.1:{port}", tenant=tenant, bare=True) as client,
    ):
        yield client


async def test_a_slow_query_is_resource_exhausted(
    client: Client, impatient: Client, database_url: str
) -> None:
    run = (await running(client)).id  # which a busy machine may take longer for
    engine = create_async_engine(sa.make_url(database_url).set(drivername="postgresql+asyncpg"))
    async with engine.begin() as connection:
        # Whoever reads the table waits as a query does that has too much to read.
        await connection.execute(sa.text("LOCK TABLE block_records"))
        with refused(StatusCode.RESOURCE_EXHAUSTED, "STATEMENT_TIMEOUT"):
            await impatient.records.ListBlockRecords(ListBlockRecordsRequest(task_record_id=run))
        with refused(StatusCode.RESOURCE_EXHAUSTED, "STATEMENT_TIMEOUT"):
            request = GetBlockRecordRequest(task_record_id=run, id="block")
            await impatient.records.GetBlockRecord(request)
    await engine.dispose()
    answer = await impatient.records.ListBlockRecords(ListBlockRecordsRequest(task_record_id=run))
    assert not answer.block_records


async def test_slow_pages_leave_a_connection_for_reads_by_key(
    settings: Settings, database_url: str, tenant: str
) -> None:
    engine = create_async_engine(sa.make_url(database_url).set(drivername="postgresql+asyncpg"))
    patient = settings.model_copy(update={"statement_timeout": PATIENCE})
    async with (
        serving(patient) as port,
        connect(f"127.0.0.1:{port}", tenant=tenant, bare=True) as client,
    ):
        run = (await running(client)).id
        request = ListBlockRecordsRequest(task_record_id=run)
        async with engine.begin() as connection:
            await connection.execute(sa.text("LOCK TABLE block_records"))
            pages = [
                asyncio.ensure_future(client.records.ListBlockRecords(request)) for _ in range(8)
            ]
            await asyncio.sleep(0.2)
            strong = (("x-vwed-consistency", "strong"),)
            found = await client.records.GetTaskRecord(
                GetTaskRecordRequest(id=run), metadata=strong, timeout=PATIENCE
            )
            assert found.id == run
            assert not any(page.done() for page in pages)
        assert [len((await page).block_records) for page in pages] == [0] * 8
    await engine.dispose()
