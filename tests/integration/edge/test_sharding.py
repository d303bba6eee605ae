"""PostgreSQL can be divided by tenant: each transaction goes to the part of one tenant.

That every key begins with the tenant is in `test_schema`. Here every RPC is sent for two tenants at
once to a server whose tables are divided, and then asked of PostgreSQL where each statement goes.
"""

import asyncio
from collections.abc import Iterator
from typing import Any

import asyncpg
import grpc
import pytest

from tests.integration.edge.test_bad_input import METHODS
from tests.support.sharded import Router, Spy, sharded_database
from tests.support.world import World
from vwed.client import connect
from vwed_grpc.server import serving
from vwed_grpc.settings import Settings
from vwed_grpc.storage import due


def beginning(sql: str) -> str:
    """What tells a statement from others, before its first parameter."""
    return sql.partition(":")[0].partition("$")[0]


TENANTS = ("tenant-a", "tenant-b")
ACROSS = {
    beginning(str(statement)) for statement in (due.LEASES, due.ENTRIES, due.KEYS, due.TENANTS)
}
"""The reads that ask which tenants have work of a duty: each is alone, and only reads."""


NO_SUCH = {"GetBlockRecord": "NOT_FOUND", "DiffTaskDefVersions": "NOT_FOUND"}
"""A block's id is the server's choice; there is one version."""


@pytest.fixture
def database(postgres_url: str) -> Iterator[str]:
    with sharded_database(postgres_url, TENANTS) as url:
        yield url


async def test_every_transaction_stays_in_one_tenant(
    database: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spy = Spy(monkeypatch, database)
    settings = Settings(listen="127.0.0.1:0", database_url=database, redis_url=redis_url)
    async with serving(settings) as port:
        await asyncio.gather(*(call_everything(f"127.0.0.1:{port}", each) for each in TENANTS))
    monkeypatch.undo()

    connection = await asyncpg.connect(database)
    router = Router(connection, TENANTS)
    asked = set[str]()
    for transaction in spy.transactions:
        of_tenants = [sent for sent in transaction if sent.asks_of_tenants]
        if {beginning(sent.sql) for sent in transaction} & ACROSS:
            assert len(transaction) == 1
            continue
        reached = [await router.tenants(sent) for sent in of_tenants]
        for sent, tenants in zip(of_tenants, reached, strict=True):
            assert len(tenants) == 1, sent
        assert len(set().union(*reached)) <= 1, of_tenants
        asked |= {sent.sql for sent in of_tenants}
    await connection.close()
    assert len(asked) > len(METHODS)  # the spy has seen them


async def call_everything(target: str, tenant: str) -> None:
    async with (
        grpc.aio.insecure_channel(target) as channel,
        connect(target, tenant=tenant, bare=True) as client,
    ):
        world = World(channel, client, tenant)
        await world.fill()
        for name, method in METHODS.items():
            request: Any = await world.base(method)
            if name == "DeleteTaskRecord":
                request.force = True
            said = await world.send(method, request.SerializeToString())
            assert said == NO_SUCH.get(name, "OK"), name
