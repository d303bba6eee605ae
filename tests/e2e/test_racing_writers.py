"""Two server processes on one database: of two writers with the same etag, one wins."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable

import grpc
import pytest
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_template_pb2 import TaskTemplate

from tests.support.calls import create_def, delete_def, get_def, json_object, update_def
from tests.support.databases import migrated_database
from tests.support.definition_calls import (
    create_template,
    get_template,
    rollback,
    update_template,
    versions_of,
)
from tests.support.refusals import read_refusal
from tests.support.replicas import replica
from vwed.client import Client, connect

RACES = 100


@pytest.fixture(scope="module")
async def targets(
    postgres_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[list[str]]:
    """On a database of their own: in the shared one they meet what other tests have broken."""
    logs = [tmp_path_factory.mktemp("replica") / f"{n}.log" for n in range(2)]
    with migrated_database(postgres_url) as database_url:
        async with (
            replica(database_url, redis_url, logs[0]) as one,
            replica(database_url, redis_url, logs[1]) as other,
        ):
            yield [one.target, other.target]
            assert not one.faults() + other.faults()


@pytest.fixture
async def writers(targets: list[str]) -> AsyncIterator[list[Client]]:
    tenant = f"t-{uuid.uuid4()}"
    async with (
        connect(targets[0], tenant=tenant, actor="0", bare=True) as one,
        connect(targets[1], tenant=tenant, actor="1", bare=True) as other,
    ):
        yield [one, other]


async def race(*writes: Awaitable[TaskDef | TaskTemplate]) -> int:
    """Which of two writes won; the other is told that it lost."""
    answers = await asyncio.gather(*writes, return_exceptions=True)
    (loser,) = [n for n, answer in enumerate(answers) if isinstance(answer, BaseException)]
    lost = answers[loser]
    assert isinstance(lost, grpc.aio.AioRpcError)
    refused = read_refusal(lost)
    assert (refused.code, refused.reason) == ("ABORTED", "ETAG_MISMATCH")
    return 1 - loser


async def test_of_two_updates_with_one_etag_one_wins_each_time(writers: list[Client]) -> None:
    stage = await create_def(writers[0], config=json_object(by="nobody", race=0))
    winners = []
    for n in range(1, RACES + 1):
        winner = await race(
            *(
                update_def(
                    client,
                    TaskDef(id=stage.id, etag=stage.etag, config=json_object(by=str(by), race=n)),
                )
                for by, client in enumerate(writers)
            )
        )
        winners.append(str(winner))
        seen = [await get_def(client, stage.id) for client in writers]
        assert seen[0] == seen[1], "a read after the write sees it, from either"
        stage = seen[0]
        assert (stage.version, stage.created_by) == (n + 1, str(winner))
        assert stage.config == json_object(by=str(winner), race=n)
    kept = await versions_of(writers[0], stage.id)
    assert [version.created_by for version in kept] == ["0", *winners]


async def test_whatever_else_is_written_with_one_etag_one_wins(writers: list[Client]) -> None:
    one, other = writers
    for n in range(20):
        made = await create_def(one, f"def {n}")
        changed = await update_def(one, TaskDef(id=made.id, description="second"))
        update = TaskDef(id=made.id, etag=changed.etag, description="third")
        winner = await race(
            update_def(one, update),
            rollback(other, made.id, 1, etag=changed.etag)
            if n % 2
            else delete_def(other, made.id, etag=changed.etag),
        )
        found = await get_def(other, made.id)
        assert found.HasField("delete_time") == (winner == 1 and not n % 2)
        assert found.version == (2 if found.HasField("delete_time") else 3)
        template = await create_template(one, f"template {n}")
        winner = await race(
            *(
                update_template(
                    client, TaskTemplate(id=template.id, etag=template.etag, description=str(by))
                )
                for by, client in enumerate(writers)
            )
        )
        assert (await get_template(one, template.id)).description == str(winner)


async def test_of_two_creations_of_one_name_one_wins_each_time(writers: list[Client]) -> None:
    for n in range(20):
        made = await asyncio.gather(
            *(create_def(client, f"name {n}") for client in writers), return_exceptions=True
        )
        (lost,) = [each for each in made if isinstance(each, BaseException)]
        assert isinstance(lost, grpc.aio.AioRpcError)
        assert read_refusal(lost).reason == "NAME_TAKEN"
