"""A PostgreSQL that lets nobody in is a store out of reach, and comes back by itself."""

import uuid
from collections.abc import AsyncIterator

import psycopg
import pytest
import sqlalchemy as sa
from grpc import StatusCode
from psycopg import sql
from structlog.testing import capture_logs
from vwed.v1.record_service_pb2 import GetTaskRecordRequest

from tests.support.databases import migrated_database
from tests.support.steps import block, create, refused, report, running
from vwed.client import Client, connect
from vwed_grpc.domain.blocks import RUNNING
from vwed_grpc.server import serving
from vwed_grpc.settings import Settings


@pytest.fixture
async def admin(postgres_url: str) -> AsyncIterator[psycopg.AsyncConnection]:
    async with await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as connection:
        yield connection


async def _cut_off(admin: psycopg.AsyncConnection, database: str) -> None:
    """Ends what is connected to a database."""
    await admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [database]
    )


@pytest.mark.parametrize("how", ["NOLOGIN", "ALLOW_CONNECTIONS", "GONE"])
async def test_who_is_not_let_in_says_unavailable(
    settings: Settings, postgres_url: str, admin: psycopg.AsyncConnection, tenant: str, how: str
) -> None:
    with migrated_database(postgres_url) as url:
        made = sa.make_url(url)
        database, role = made.database or "", f"role_{uuid.uuid4().hex[:8]}"
        names = {
            "role": sql.Identifier(role),
            "database": sql.Identifier(database),
            "elsewhere": sql.Identifier(f"{database}_moved"),
        }

        async def run(statement: str) -> None:
            await admin.execute(sql.SQL(statement).format(**names))

        await run("CREATE ROLE {role} SUPERUSER LOGIN PASSWORD 'one'")
        mine = made.set(username=role, password="one").render_as_string(hide_password=False)
        own = settings.model_copy(update={"database_url": mine, "redis_url": "none"})
        refusals = {
            "NOLOGIN": ("ALTER ROLE {role} NOLOGIN", "ALTER ROLE {role} LOGIN"),
            "ALLOW_CONNECTIONS": (
                "ALTER DATABASE {database} ALLOW_CONNECTIONS false",
                "ALTER DATABASE {database} ALLOW_CONNECTIONS true",
            ),
            "GONE": (
                "ALTER DATABASE {database} RENAME TO {elsewhere}",
                "ALTER DATABASE {elsewhere} RENAME TO {database}",
            ),
        }
        refuse, admit = refusals[how]
        try:
            async with (
                serving(own) as port,
                connect(f"127.0.0.1:{port}", tenant=tenant, bare=True) as client,
            ):
                task = await running(client)
                if how == "GONE":  # it cannot be renamed while somebody is in
                    await run("ALTER DATABASE {database} ALLOW_CONNECTIONS false")
                    await _cut_off(admin, database)
                await run(refuse)
                await _cut_off(admin, database)
                with capture_logs() as logs:
                    await _is_unavailable(client, task.id)
                assert not [line for line in logs if line["event"] == "internal error"]
                await run(admit)
                if how == "GONE":
                    await run("ALTER DATABASE {database} ALLOW_CONNECTIONS true")
                await _comes_back(client, task.id)
        finally:
            await run("DROP OWNED BY {role}")
            await run("DROP ROLE {role}")


async def _is_unavailable(client: Client, run: str) -> None:
    with refused(StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE"):
        await client.records.GetTaskRecord(GetTaskRecordRequest(id=run))
    with refused(StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE"):
        await report(client, run, block("a", RUNNING))
    with refused(StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE"):
        await create(client, "some-definition")


async def _comes_back(client: Client, run: str) -> None:
    answer = await report(client, run, block("a", RUNNING))
    assert len(answer.seqs) == 1
