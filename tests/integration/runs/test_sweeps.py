"""Rows that nobody can see any more are removed, a batch at a time."""

import uuid
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace

import pytest
import sqlalchemy as sa
from vwed.v1.cache_service_pb2 import IncrementDataCacheRequest

from tests.support.calls import set_entry
from tests.support.steps import running, seconds, sql
from tests.support.waiting import until_true
from vwed.client import Client
from vwed_grpc.storage import data_cache, idempotency
from vwed_grpc.storage.pool import Pool
from vwed_grpc.storage.transaction import Transaction
from vwed_grpc.writes import expiry
from vwed_grpc.writes.commit import Committer
from vwed_grpc.writes.condition import Condition
from vwed_grpc.writes.duties import Duty, Turn

BATCH, DEAD = 2, 5


@dataclass(frozen=True)
class Swept:
    """What is removed, and by what."""

    duty: Duty
    sweep: Callable[[Transaction, str, int], Awaitable[int]]
    table: str
    column: str
    times: tuple[str, ...]


EVERYTHING = {
    "entries": Swept(
        expiry.ENTRIES, data_cache.sweep, "data_cache", "key", ("expire_time", "update_time")
    ),
    "request_ids": Swept(
        expiry.KEYS, idempotency.sweep, "idempotency_keys", "request_id", ("expire_time",)
    ),
}


@pytest.fixture(params=[*EVERYTHING.values()], ids=[*EVERYTHING])
def swept(request: pytest.FixtureRequest) -> Swept:
    found: Swept = request.param
    return found


@pytest.fixture
async def names(
    client: Client, pool: Pool, database_url: str, tenant: str, swept: Swept
) -> list[str]:
    """Of the tenant's rows, which no statistics know; all but the last ran out long ago."""
    await pool.run(lambda tx: tx.session.execute(sa.text(f"ANALYZE {swept.table}")))
    run, names = await running(client), [str(uuid.uuid4()) for _ in range(DEAD + 1)]
    for name in names:
        await set_entry(client, run.id, name, int_value=1, ttl=seconds(3600))
        await client.cache.IncrementDataCache(
            IncrementDataCacheRequest(task_record_id=run.id, key="n", int_delta=1, request_id=name)
        )
    for time in swept.times:
        await sql(
            database_url,
            f"UPDATE {swept.table} SET {time} = now() - interval '1 h'"
            f" WHERE tenant = :tenant AND {swept.column} = ANY(:old) RETURNING 1",
            tenant=tenant,
            old=names[:DEAD],
        )
    return names


async def test_all_of_a_tenants_are_removed_and_no_others(
    pool: Pool,
    committer: Committer,
    database_url: str,
    tenant: str,
    monkeypatch: pytest.MonkeyPatch,
    swept: Swept,
    names: list[str],
) -> None:
    monkeypatch.setattr(expiry, "SWEPT_AT_ONCE", BATCH)
    # By another name: a turn is over at once while the server is at this duty of this tenant.
    own = replace(swept.duty, name=f"{swept.duty.name} of a test")
    await own.work(
        Turn(own, tenant, pool=pool, committer=committer, condition=Condition(), line=nullcontext())
    )

    async def the_last_is_left() -> bool:
        left = await sql(
            database_url,
            f"SELECT {swept.column} FROM {swept.table}"
            f" WHERE tenant = :tenant AND {swept.column} = ANY(:names)",
            tenant=tenant,
            names=names,
        )
        return [row[0] for row in left] == names[DEAD:]

    # The server's own duty may have some of the rows just then, which are passed over here.
    await until_true(the_last_is_left)


@pytest.mark.usefixtures("names")
async def test_a_batch_has_its_size_whatever_the_plan(
    pool: Pool, tenant: str, swept: Swept
) -> None:
    """A plan may look at what is to be removed more than once, and find other rows each time."""

    async def by_loops(tx: Transaction) -> int:
        for setting in ("enable_hashjoin", "enable_mergejoin", "enable_material"):
            await tx.session.execute(sa.text(f"SELECT set_config('{setting}', 'off', true)"))
        return await swept.sweep(tx, tenant, BATCH)

    assert await pool.run(by_loops) <= BATCH
