"""A release runs beside its predecessor over the migrated schema, and can be rolled back."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from vwed.v1.block_record_pb2 import BlockRecordStatus
from vwed.v1.task_record_pb2 import TaskRecordStatus

from tests.support.calls import create_def, finish_run, set_entry
from tests.support.databases import empty_database
from tests.support.previous_release import previous_release
from tests.support.replicas import Replica
from tests.support.steps import block, get, history, report, running
from tests.support.watching import watching
from vwed.client import Client, connect
from vwed_grpc.server import serving
from vwed_grpc.settings import Settings
from vwed_grpc.storage import schema
from vwed_grpc.storage.database import sync_engine

DONE = BlockRecordStatus.BLOCK_RECORD_STATUS_SUCCEEDED
SUCCEEDED = TaskRecordStatus.TASK_RECORD_STATUS_SUCCEEDED


@pytest.fixture
async def old(postgres_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Replica]:
    """The previous release's server, on a database that it has migrated itself."""
    tree = previous_release(tmp_path)
    with empty_database(postgres_url) as url:
        server = Replica(url, redis_url, tmp_path / "old.log", tree=tree)
        server.run("migrate", "--database-url", url)
        await server.start()
        yield server
        server.kill()
        assert not server.faults()


async def test_both_serve_the_migrated_schema_and_the_older_one_alone_again(
    old: Replica, redis_url: str
) -> None:
    async with connect(old.target, actor="old", bare=True) as before:
        task_def = await create_def(before)
        own = (await running(before, task_def.id, lease=60)).id
        await report(before, own, block("a"))

        engine = sync_engine(old.database_url)
        assert schema.migrate(engine) < schema.HEAD
        engine.dispose()
        await report(before, own, block("a", DONE))  # it goes on over the newer schema

        settings = Settings(
            listen="127.0.0.1:0", database_url=old.database_url, redis_url=redis_url
        )
        async with (
            serving(settings) as port,
            connect(f"127.0.0.1:{port}", actor="new", bare=True) as after,
        ):
            await work_together(before, after, task_def.id)
            await work_together(after, before, task_def.id)
            handed_over = (await running(after, task_def.id, lease=60)).id
            await report(after, handed_over, block("a"))

        await asyncio.to_thread(old.stop)
        await old.start()  # rolled back: over the schema of the release that was there meanwhile
    async with connect(old.target, actor="old", bare=True) as again:
        for run in (own, handed_over):
            await report(again, run, block("b", DONE))
            await finish_run(again, run)
            assert (await get(again, run, strong=True)).block_counts.succeeded >= 1


async def work_together(writer: Client, reader: Client, task_def_id: str) -> None:
    """One release sees, live and after all, what the other does."""
    run = (await running(writer, task_def_id, lease=60)).id
    async with watching(reader, run, after_seq=0) as watcher:
        await report(writer, run, block("a"), block("b", input_data={"bay": "A-01"}))
        await report(reader, run, block("a", DONE, output_data={"moved": 3}))
        await set_entry(writer, run, "key", string_value="value")
        await finish_run(writer, run)
        await watcher.end()
    assert await history(reader, run) == await history(writer, run)
    assert await get(reader, run, strong=True) == await get(writer, run, strong=True)
    assert (await get(reader, run, strong=True)).status == SUCCEEDED
