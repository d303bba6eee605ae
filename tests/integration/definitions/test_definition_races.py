"""Writers of one definition that meet: whoever is told OK has not been undone by another."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import grpc
import pytest
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_def_service_pb2 import UndeleteTaskDefRequest

from tests.support.calls import create_def, create_run, delete_def, get_def, update_def
from tests.support.definition_calls import (
    OVERWRITE,
    create_template,
    delete_template,
    get_template,
    import_,
    instantiate,
    rollback,
    versions_of,
)
from vwed.client import Client

ROUNDS = 12


async def told_ok(*calls: Awaitable[Any]) -> list[bool]:
    """Which of the calls, made at the same time, were answered; the others were refused."""
    answers = await asyncio.gather(*calls, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            assert isinstance(answer, grpc.aio.AioRpcError), answer
            assert answer.code() in {
                grpc.StatusCode.ALREADY_EXISTS,
                grpc.StatusCode.FAILED_PRECONDITION,
                grpc.StatusCode.NOT_FOUND,
                grpc.StatusCode.ABORTED,
            }, answer
    return [not isinstance(answer, BaseException) for answer in answers]


async def undelete(client: Client, id_: str) -> TaskDef:
    return await client.definitions.UndeleteTaskDef(UndeleteTaskDefRequest(id=id_))


@pytest.mark.parametrize("round_", range(ROUNDS))
async def test_a_run_and_a_delete_without_force_exclude_each_other(
    client: Client, round_: int
) -> None:
    made = await create_def(client)
    calls = [delete_def(client, made.id), create_run(client, made.id)]
    deleted, ran = await told_ok(*(calls if round_ % 2 else reversed(calls)))
    assert deleted != ran
    gone = (await get_def(client, made.id)).HasField("delete_time")
    assert gone == (deleted if round_ % 2 else ran)


@pytest.mark.parametrize("round_", range(ROUNDS))
async def test_a_name_has_one_live_holder(client: Client, round_: int) -> None:
    await create_def(client, "name", id="a")
    await delete_def(client, "a")
    await create_def(client, "other", id="b")
    calls = [
        undelete(client, "a"),
        update_def(client, TaskDef(id="b", name="name")),
        create_def(client, "name", id="c"),
    ]
    assert sum(await told_ok(*calls[round_ % 3 :], *calls[: round_ % 3])) == 1


@pytest.mark.parametrize("round_", range(ROUNDS))
async def test_no_version_is_lost(client: Client, round_: int) -> None:
    await create_def(client, "name", id="a", description="first")
    await update_def(client, TaskDef(id="a", description="second"))
    sent = TaskDef(id="a", name="imported", version=1)
    calls = [
        update_def(client, TaskDef(id="a", description="third")),
        rollback(client, "a", 1),
        import_(client, sent, conflict=OVERWRITE),
        update_def(client, TaskDef(id="a", labels={"zone": "A"})),
    ]
    assert all(await told_ok(*calls[round_ % 4 :], *calls[: round_ % 4]))
    versions = await versions_of(client, "a")
    assert [each.version for each in versions] == list(range(1, len(versions) + 1))
    newest = await get_def(client, "a")
    assert (newest.version, newest.description) == (versions[-1].version, versions[-1].description)
    assert "imported" in [each.name for each in versions]
    assert "third" in [each.description for each in versions]


@pytest.mark.parametrize("round_", range(ROUNDS))
async def test_what_is_deleted_meanwhile_gets_no_version(client: Client, round_: int) -> None:
    await create_def(client, "name", id="a")
    calls = [
        delete_def(client, "a"),
        update_def(client, TaskDef(id="a", description="new")),
        import_(client, TaskDef(id="a", name="imported", version=1), conflict=OVERWRITE),
    ]
    await told_ok(*calls[round_ % 3 :], *calls[: round_ % 3])
    gone = await get_def(client, "a")
    assert gone.HasField("delete_time")
    assert (await versions_of(client, "a"))[-1].version == gone.version


@pytest.mark.parametrize("round_", range(ROUNDS))
async def test_an_instance_has_the_template_that_there_was(client: Client, round_: int) -> None:
    await create_template(client, id="t")
    calls = [delete_template(client, "t"), instantiate(client, "t", id="a")]
    answers = await told_ok(*(calls if round_ % 2 else reversed(calls)))
    deleted, made = answers if round_ % 2 else reversed(answers)
    assert deleted
    assert (await get_template(client, "t")).HasField("delete_time")
    if made:
        assert (await get_def(client, "a")).task_template_version == 1


async def test_imports_that_exchange_names_the_other_way_round_end(client: Client) -> None:
    for id_ in "ab":
        await create_def(client, f"of {id_}", id=id_)
    sent = [TaskDef(id="a", name="of b", version=1), TaskDef(id="b", name="of a", version=1)]
    for _ in range(ROUNDS):
        await told_ok(
            import_(client, *sent, conflict=OVERWRITE),
            import_(client, *reversed(sent), conflict=OVERWRITE),
        )
        assert {(await get_def(client, id_)).name for id_ in "ab"} == {"of a", "of b"}
        assert (await get_def(client, "a")).name == "of b"
