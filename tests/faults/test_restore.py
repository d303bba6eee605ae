"""An older backup comes back under a warm Redis, open clients and held tokens.

Nothing that no longer is may be served from then on, also by servers that ran through it.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Any

import grpc
import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result
from grpc import StatusCode
from vwed.v1.cache_service_pb2 import BatchGetDataCacheRequest, GetDataCacheRequest
from vwed.v1.record_service_pb2 import (
    BatchGetTaskRecordsRequest,
    ClaimTaskRecordsRequest,
    GetTaskRecordRequest,
    ListTaskRecordsRequest,
    WatchTaskRecordRequest,
    WatchTaskRecordsRequest,
)
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_def_service_pb2 import (
    GetTaskDefRequest,
    GetTaskTemplateRequest,
    ListTaskDefsRequest,
)
from vwed.v1.task_record_pb2 import TaskRecordFilter

from tests.support.calls import create_def, set_entry, update_def
from tests.support.databases import empty_database, migrated_database
from tests.support.definition_calls import create_template
from tests.support.feeding import feeding
from tests.support.metrics_page import figures, free_address
from tests.support.proxy import Proxy
from tests.support.refusals import read_refusal
from tests.support.steps import block, refused, report, running, seconds, sql
from tests.support.waiting import until_true
from vwed.client import Client, connect
from vwed_grpc.cli.main import main
from vwed_grpc.domain.blocks import RUNNING
from vwed_grpc.server import serving
from vwed_grpc.settings import Settings
from vwed_grpc.storage.database import sync_engine

STRONG = (("x-vwed-consistency", "strong"),)
Named = Sequence[tuple[str, Any]]
"""Methods and requests."""


def vwed(*words: str | Path) -> Result:
    """The command in this process: another one takes seconds to begin."""
    return CliRunner().invoke(main, [str(word) for word in words])


def done(*words: str | Path) -> None:
    ended = vwed(*words)
    assert ended.exit_code == 0, ended.output


@pytest.fixture
def own_database(postgres_url: str) -> Iterator[str]:
    with migrated_database(postgres_url) as url:
        yield url


@asynccontextmanager
async def two_servers(
    database_url: str, redis_url: str, tenant: str
) -> AsyncIterator[tuple[Client, Client]]:
    own = Settings(listen="127.0.0.1:0", database_url=database_url, redis_url=redis_url)
    async with (
        serving(own) as one,
        serving(own) as two,
        connect(f"127.0.0.1:{one}", tenant=tenant, bare=True) as client,
        connect(f"127.0.0.1:{two}", tenant=tenant, bare=True) as other,
    ):
        yield client, other


async def read(client: Client, named: Named, metadata: Any = ()) -> list[Any]:
    """The answers, or the codes of refusals."""
    answers: list[Any] = []
    for method, request in named:
        stubs = (client.records, client.definitions, client.cache)
        call = next(getattr(stub, method) for stub in stubs if hasattr(stub, method))
        try:
            answers.append(await call(request, metadata=metadata))
        except grpc.aio.AioRpcError as error:
            answers.append(error.code())
    return answers


class Stream:
    """A watch in the background: what it said last, and how it ended."""

    def __init__(self, call: Any) -> None:
        self.last: Any = None
        self.ending = ""
        self._task = asyncio.create_task(self._read(call))

    async def _read(self, call: Any) -> None:
        try:
            async for message in call:
                self.last = message
        except grpc.aio.AioRpcError as error:
            self.ending = read_refusal(error).reason


async def claimed_by_nobody(client: Client) -> str:
    """How a claim ended that waited for what never came."""
    nothing = TaskRecordFilter(labels={"of": "nobody"})
    request = ClaimTaskRecordsRequest(executor_id="robot", wait=seconds(60), filter=nothing)
    try:
        await client.records.ClaimTaskRecords(request)
    except grpc.aio.AioRpcError as error:
        return read_refusal(error).reason
    return ""


class Reader:
    """Reads a run over and over: the begin and end of each read, and the seq that it told."""

    def __init__(self, client: Client, run: str) -> None:
        self.told: list[tuple[float, float, int]] = []
        self._task = asyncio.create_task(self._read(client, run))

    async def _read(self, client: Client, run: str) -> None:
        while True:
            began = monotonic()
            with suppress(grpc.aio.AioRpcError):
                record = await client.records.GetTaskRecord(GetTaskRecordRequest(id=run))
                self.told.append((began, monotonic(), record.seq))
            await asyncio.sleep(0.002)

    def stop(self) -> None:
        self._task.cancel()


async def test_nothing_that_no_longer_is_is_served(
    own_database: str, redis_url: str, tenant: str, tmp_path: Path
) -> None:
    backup, url = tmp_path / "old.backup", ("--database-url", own_database)
    async with two_servers(own_database, redis_url, tenant) as (client, other):
        definition = await create_def(client, description="old")
        template = await create_template(client, id="template", description="old")
        run = await running(client, definition.id)
        await set_entry(client, run.id, "key", int_value=1)
        for n in range(3):
            await create_def(client, name=f"def-{n}")
        await asyncio.to_thread(done, "backup", backup, *url)

        definition.description = "new"
        await update_def(client, definition, "description")
        await set_entry(client, run.id, "key", int_value=2)
        await set_entry(client, run.id, "other", int_value=2)
        await report(client, run.id, block("a", RUNNING), block("b", RUNNING))
        late, late_def = await running(client, definition.id), await create_def(client, name="late")
        kept: Named = [
            ("GetTaskRecord", GetTaskRecordRequest(id=run.id)),
            ("BatchGetTaskRecords", BatchGetTaskRecordsRequest(ids=[run.id])),
            ("ListTaskRecords", ListTaskRecordsRequest()),
            ("GetTaskDef", GetTaskDefRequest(id=definition.id)),
            ("GetTaskTemplate", GetTaskTemplateRequest(id=template.id)),
            ("ListTaskDefs", ListTaskDefsRequest()),
            ("GetDataCache", GetDataCacheRequest(task_record_id=run.id, key="key")),
            (
                "BatchGetDataCache",
                BatchGetDataCacheRequest(task_record_id=run.id, keys=["key", "other"]),
            ),
        ]
        gone: Named = [
            ("GetTaskRecord", GetTaskRecordRequest(id=late.id)),
            ("GetTaskDef", GetTaskDefRequest(id=late_def.id)),
            ("GetTaskDef", GetTaskDefRequest(id=definition.id, version=2)),
            ("GetDataCache", GetDataCacheRequest(task_record_id=run.id, key="other")),
        ]
        for one in (client, other, client, other):
            assert not [a for a in await read(one, [*kept, *gone]) if isinstance(a, StatusCode)]
        page = await client.definitions.ListTaskDefs(ListTaskDefsRequest(page_size=1))
        feed = Stream(client.records.WatchTaskRecords(WatchTaskRecordsRequest()))
        watch = Stream(other.records.WatchTaskRecord(WatchTaskRecordRequest(task_record_id=run.id)))
        await until_true(lambda: feed.last and watch.last, what="both snapshots")
        claim = asyncio.create_task(claimed_by_nobody(other))
        token, seq = feed.last.resume_token, watch.last.bookmark_seq
        assert seq == 4
        readers = [Reader(one, run.id) for one in (client, other)]
        await until_true(lambda: all(reader.told for reader in readers))

        await asyncio.to_thread(done, "restore", backup, "--force", *url)
        await until_true(lambda: feed.ending and watch.ending, what="the end of both watches")
        assert {feed.ending, watch.ending, await claim} == {"STORE_CHANGED"}
        await until_true(lambda: all(reader.told[-1][2] == 2 for reader in readers))
        told = [one for reader in readers for one in reader.told]
        for reader in readers:
            reader.stop()
        restored = min(ended for _, ended, seq in told if seq == 2)
        assert not [began for began, _, seq in told if seq == 4 and began > restored]

        for one in (client, other):
            answers = await read(one, kept)
            assert answers == await read(one, kept, STRONG)
            assert (answers[0].seq, answers[3].description, answers[6].int_value) == (2, "old", 1)
            assert [each.id for each in answers[2].task_records] == [run.id]
            assert [*answers[7].missing_keys] == ["other"]
            assert {*await read(one, gone)} == {StatusCode.NOT_FOUND}
        with refused(StatusCode.INVALID_ARGUMENT) as refusal:
            await client.definitions.ListTaskDefs(
                ListTaskDefsRequest(page_size=1, page_token=page.next_page_token)
            )
        assert refusal.fields == ["page_token"]
        for call, reason in (
            (
                client.records.WatchTaskRecords(WatchTaskRecordsRequest(resume_token=token)),
                "RESUME_TOKEN_UNKNOWN",
            ),
            (
                other.records.WatchTaskRecord(
                    WatchTaskRecordRequest(task_record_id=run.id, after_seq=seq)
                ),
                "SEQ_OUT_OF_RANGE",
            ),
        ):
            with refused(StatusCode.OUT_OF_RANGE, reason):
                await anext(aiter(call))
        # And it goes on: what one server writes, the other serves.
        await set_entry(client, run.id, "key", int_value=3)
        assert (await read(other, [kept[6]]))[0].int_value == 3
        async with feeding(client) as again:
            await report(other, run.id, block("c", RUNNING))
            await again.until(lambda: bool(again.messages[-1].events))


async def test_who_ran_through_it_and_who_came_later_believe_each_other(
    own_database: str, postgres_url: str, redis_url: str, tenant: str, tmp_path: Path
) -> None:
    """What was restored is of another database, whose servers seal with another secret."""
    backup = tmp_path / "another.backup"
    with migrated_database(postgres_url) as another:
        settings = Settings(listen="127.0.0.1:0", database_url=another, redis_url="none")
        async with (
            serving(settings) as port,
            connect(f"127.0.0.1:{port}", tenant=tenant, bare=True) as client,
        ):
            run = (await running(client)).id
        await asyncio.to_thread(done, "backup", backup, "--database-url", another)
    pages = [free_address(), free_address()]
    one, two = (
        Settings(
            listen="127.0.0.1:0",
            database_url=own_database,
            redis_url=redis_url,
            metrics_listen=page,
        )
        for page in pages
    )
    async with (
        serving(one) as port,
        connect(f"127.0.0.1:{port}", tenant=tenant, bare=True) as older,
    ):
        await asyncio.to_thread(done, "restore", backup, "--force", "--database-url", own_database)
        get: Named = [("GetTaskRecord", GetTaskRecordRequest(id=run))]

        async def is_restored() -> bool:
            return not isinstance((await read(older, get))[0], StatusCode)

        await until_true(is_restored)
        async with (
            serving(two) as late,
            connect(f"127.0.0.1:{late}", tenant=tenant, bare=True) as newer,
        ):

            async def are_hits() -> bool:
                for client in (older, newer):
                    await read(client, get)
                return all([(await figures(page))["vwed_cache_hits_total"] > 2 for page in pages])

            await until_true(are_hits, what="values of either that serve both")
            async with feeding(older) as feed:
                await report(newer, run, block("a", RUNNING))
                await feed.until(lambda: bool(feed.messages[-1].events))
            for page in pages:
                found = await figures(page)
                assert found["vwed_cache_foreign_total"] == 0
                assert found["vwed_foreign_wakeups_total"] == 0


async def test_who_is_cut_off_from_the_database_serves_nothing_that_it_remembers(
    own_database: str, redis_url: str, tenant: str, tmp_path: Path
) -> None:
    backup, url = tmp_path / "old.backup", ("--database-url", own_database)
    given = sa.make_url(own_database)
    upstream = f"{given.query['host']}/.s.PGSQL.5432" if given.host is None else given.host
    async with Proxy(str(upstream), given.port or 0) as proxy:
        through = given.set(host="127.0.0.1", port=proxy.port, query={})
        cut_off = Settings(
            listen="127.0.0.1:0",
            database_url=through.render_as_string(hide_password=False),
            redis_url=redis_url,
        )
        async with (
            serving(cut_off) as port,
            connect(f"127.0.0.1:{port}", tenant=tenant, bare=True) as client,
        ):
            definition = await create_def(client, description="old")
            await asyncio.to_thread(done, "backup", backup, *url)
            definition.description = "new"
            await update_def(client, definition, "description")
            for version in (0, 2):
                (found,) = await read(client, [("GetTaskDef", version_of(definition, version))])
                assert found.description == "new"
            proxy.freeze()
            await asyncio.to_thread(done, "restore", backup, "--force", *url)
            for version in (0, 2):  # the latest would come from Redis, a version from the process
                with pytest.raises(grpc.aio.AioRpcError):
                    await client.definitions.GetTaskDef(version_of(definition, version), timeout=1)
            proxy.thaw()

            async def is_old() -> bool:
                with suppress(grpc.aio.AioRpcError):
                    request = version_of(definition, 0)
                    found = await client.definitions.GetTaskDef(request, timeout=1)
                    assert found.description == "old"
                    return True
                return False

            await until_true(is_old)


def version_of(definition: TaskDef, version: int) -> GetTaskDefRequest:
    return GetTaskDefRequest(id=definition.id, version=version)


async def test_into_another_database_all_or_nothing(
    own_database: str, postgres_url: str, tenant: str, tmp_path: Path
) -> None:
    backup, broken = tmp_path / "a.backup", tmp_path / "broken.backup"
    own = Settings(listen="127.0.0.1:0", database_url=own_database, redis_url="none")
    async with (
        serving(own) as port,
        connect(f"127.0.0.1:{port}", tenant=tenant, bare=True) as client,
    ):
        run = await running(client)
        await asyncio.to_thread(done, "backup", backup, "--database-url", own_database)
    broken.write_bytes(backup.read_bytes()[:-2_000])
    with empty_database(postgres_url) as url:
        there = ("--database-url", url)
        for file, said in ((broken, "error"), (Path(__file__), "is no backup of this service: ")):
            ended = await asyncio.to_thread(vwed, "restore", file, *there)
            assert (ended.exit_code, said in ended.output) == (1, True), ended.output
        nothing = await asyncio.to_thread(vwed, "backup", tmp_path / "nothing.backup", *there)
        assert nothing.exit_code == 1
        assert nothing.output.endswith("the database holds nothing of this service\n")
        assert not (tmp_path / "nothing.backup").exists()
        tables = await sql(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        assert not tables
        await asyncio.to_thread(done, "restore", backup, *there)
        again = await asyncio.to_thread(vwed, "restore", backup, *there)
        assert (again.exit_code, "--force" in again.output) == (1, True), again.output
        newer = tmp_path / "newer.backup"
        engine = sync_engine(url)
        with engine.begin() as connection:
            connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
            said = "COMMENT ON TABLE alembic_version IS 'compatible_since=9998'"
            connection.execute(sa.text(said))
        engine.dispose()
        await asyncio.to_thread(done, "backup", newer, *there)
        await asyncio.to_thread(done, "restore", backup, "--force", *there)
        ended = await asyncio.to_thread(vwed, "restore", newer, "--force", *there)
        assert ended.exit_code == 1
        assert "Error: the backup has schema 9999, which this release (" in ended.output
        here = Settings(listen="127.0.0.1:0", database_url=url, redis_url="none")
        async with (
            serving(here) as port,
            connect(f"127.0.0.1:{port}", tenant=tenant, bare=True) as client,
        ):
            record = await client.records.GetTaskRecord(GetTaskRecordRequest(id=run.id))
            assert record.id == run.id
            # What was restored is past for whoever watches, whatever number its transaction had.
            async with feeding(client) as feed:
                await report(client, run.id, block("a", RUNNING))
                await feed.until(lambda: len(feed.messages) > 1)


async def test_what_was_restored_is_past_whatever_runs_there(
    own_database: str, postgres_url: str, tenant: str, tmp_path: Path
) -> None:
    """The number that an event got in another cluster may here be that of one that still runs."""
    backup, url = tmp_path / "a.backup", ("--database-url", own_database)
    own = Settings(listen="127.0.0.1:0", database_url=own_database, redis_url="none")
    async with (
        serving(own) as port,
        connect(f"127.0.0.1:{port}", tenant=tenant, bare=True) as client,
    ):
        await running(client)
    engine = sync_engine(postgres_url)
    with engine.connect() as left_open:
        number = left_open.scalar(sa.text("SELECT pg_current_xact_id()::text"))
        await sql(own_database, f"UPDATE task_record_events SET xact = {number} RETURNING seq")
        await asyncio.to_thread(done, "backup", backup, *url)
        await asyncio.to_thread(done, "restore", backup, "--force", *url)
        told = await sql(
            own_database,
            "SELECT count(*), count(*) FILTER (WHERE pg_visible_in_snapshot("
            "xact::text::xid8, pg_current_snapshot())) FROM task_record_events",
        )
    engine.dispose()
    assert [*map(tuple, told)] == [(2, 2)]
