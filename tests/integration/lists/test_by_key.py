"""Reads by key that come at once share a statement, and each gets its own row."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from tests.support.steps import create, define
from vwed.client import Client
from vwed_grpc.storage import task_records
from vwed_grpc.storage.connector import Connector
from vwed_grpc.storage.pool import ReadingPool
from vwed_grpc.storage.statement import Statement


class Counting(ReadingPool):
    statements = 0

    async def fetch(
        self, statement: Statement, parameters: Mapping[str, Any] | None = None
    ) -> Sequence[sa.Row[Any]]:
        self.statements += 1
        return await super().fetch(statement, parameters)


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Counting]:
    pool = Counting(Connector(database_url), connections=1, reads=1)
    yield pool
    await pool.close()


async def test_who_asks_at_once_shares_a_statement(
    client: Client, tenant: str, pool: Counting
) -> None:
    task_def = (await define(client)).id
    ids = [(await create(client, task_def)).id for _ in range(8)]
    asked = [*ids, "missing", *ids]
    found = await asyncio.gather(*(task_records.get(pool, tenant, id_) for id_ in asked))
    assert [record.id if record else None for record in found] == [*ids, None, *ids]
    assert pool.statements == 1


async def test_nothing_crosses_tenants(client: Client, tenant: str, pool: Counting) -> None:
    run = (await create(client, (await define(client)).id)).id
    mine, others = await asyncio.gather(
        task_records.get(pool, tenant, run), task_records.get(pool, "other", run)
    )
    assert mine is not None
    assert others is None
    assert pool.statements == 2
