"""UpdateTaskDef: which updates write a version, what is checked, etags and races."""

import asyncio

import grpc
import pytest
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_def_service_pb2 import UpdateTaskDefRequest

from tests.support.calls import (
    create_def,
    create_run,
    create_whole_def,
    get_def,
    json_object,
    update_def,
)
from tests.support.refusals import read_refusal, refusal
from vwed.client import Client, connect


@pytest.mark.parametrize("mask", [(), ("*",), ("name", "config")])
async def test_an_update_that_changes_nothing_writes_nothing(
    client: Client, mask: tuple[str, ...]
) -> None:
    made = await create_whole_def(client)
    same = TaskDef()
    same.CopyFrom(made)
    same.change_note = "no change of its own"
    assert await update_def(client, same, *mask) == made
    assert await get_def(client, made.id) == made


async def test_an_unset_config_is_no_change_of_an_empty_one(client: Client) -> None:
    made = await create_def(client)
    for mask in ("*", "config"):
        assert await update_def(client, TaskDef(id=made.id, name=made.name), mask) == made


async def test_each_field_of_the_content_makes_a_version(client: Client) -> None:
    made = await create_whole_def(client)
    for version, given in enumerate(
        (
            TaskDef(name="new"),
            TaskDef(description="new"),
            TaskDef(task_type="new"),
            TaskDef(config=json_object(speed=2)),
            TaskDef(labels={"zone": "B"}),
        ),
        start=2,
    ):
        given.id = made.id
        assert (await update_def(client, given)).version == version


async def test_every_version_is_kept_as_it_was_written(
    client: Client, target: str, tenant: str
) -> None:
    first = await create_whole_def(client)
    changed = TaskDef(
        id=first.id, name="second", config=json_object(speed=2), labels={}, change_note="faster"
    )
    async with connect(target, tenant=tenant, actor="ben", bare=True) as ben:
        second = await update_def(ben, changed, "name", "config", "labels")
    for stage in (first, second):
        kept = await get_def(client, first.id, stage.version)
        expected = TaskDef()
        expected.CopyFrom(stage)
        for unset in ("status", "etag", "delete_time"):
            expected.ClearField(unset)
        assert kept == expected
    assert (first.created_by, first.change_note) == ("tester", "first")
    assert (second.created_by, second.change_note) == ("ben", "faster")


async def test_the_result_of_an_update_is_checked(client: Client) -> None:
    made = await create_whole_def(client)
    for given, mask, field in (
        (TaskDef(), "name", "task_def.name"),
        (TaskDef(name="x" * 201), "", "task_def.name"),
        (TaskDef(labels={"Zone": "A"}), "", 'task_def.labels["Zone"]'),
        (TaskDef(config=json_object(blocks=[{"id": "a"}])), "", "task_def.config.blocks[0].type"),
        (TaskDef(description="new", change_note="x" * 513), "", "task_def.change_note"),
    ):
        given.id = made.id
        refused = await refusal(update_def(client, given, *([mask] if mask else [])))
        assert (refused.code, refused.fields) == ("INVALID_ARGUMENT", [field])
    assert await get_def(client, made.id) == made


@pytest.mark.parametrize("id_", ["", "no id", "x" * 129])
async def test_an_update_must_name_its_definition(client: Client, id_: str) -> None:
    refused = await refusal(update_def(client, TaskDef(id=id_, name="new")))
    assert (refused.code, refused.fields) == ("INVALID_ARGUMENT", ["task_def.id"])


async def test_another_etag_aborts_the_update(client: Client) -> None:
    made = await create_whole_def(client)
    updated = await update_def(client, TaskDef(id=made.id, etag=made.etag, description="new"))
    refused = await refusal(
        update_def(client, TaskDef(id=made.id, etag=made.etag, description="newer"))
    )
    assert (refused.code, refused.reason) == ("ABORTED", "ETAG_MISMATCH")
    assert await get_def(client, made.id) == updated
    # Also one that would change nothing.
    refused = await refusal(
        update_def(client, TaskDef(id=made.id, etag=made.etag, description="new"))
    )
    assert refused.code == "ABORTED"


async def test_every_read_sees_the_update_that_was_answered(client: Client) -> None:
    made = await create_whole_def(client)
    assert await get_def(client, made.id) == made
    for version in range(2, 12):
        assert (await refusal(get_def(client, made.id, version))).code == "NOT_FOUND"
        updated = await update_def(client, TaskDef(id=made.id, description=str(version)))
        assert await get_def(client, made.id) == updated
        assert (await get_def(client, made.id, version)).description == str(version)


async def test_of_racing_updates_with_one_etag_one_wins(client: Client) -> None:
    made = await create_whole_def(client)
    answers = await asyncio.gather(
        *(
            update_def(client, TaskDef(id=made.id, etag=made.etag, description=f"by {n}"))
            for n in range(8)
        ),
        return_exceptions=True,
    )
    lost = [answer for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    assert {read_refusal(error).code for error in lost} == {"ABORTED"}
    assert len(lost) == 7
    assert (await get_def(client, made.id)).version == 2


async def test_of_racing_updates_without_etag_none_is_lost(client: Client) -> None:
    made = await create_whole_def(client)
    answers = await asyncio.gather(
        *(update_def(client, TaskDef(id=made.id, description=f"by {n}")) for n in range(8))
    )
    answers.sort(key=lambda answer: answer.version)
    assert [answer.version for answer in answers] == list(range(2, 10))
    times = [answer.update_time.ToNanoseconds() for answer in answers]
    assert times == sorted(times)
    for answer in answers:
        assert (await get_def(client, made.id, answer.version)).description == answer.description


async def test_runs_are_created_while_their_definition_is_updated(client: Client) -> None:
    made = await create_whole_def(client)
    async with asyncio.TaskGroup() as group:
        for n in range(8):
            group.create_task(update_def(client, TaskDef(id=made.id, description=f"by {n}")))
            group.create_task(create_run(client, made.id))
    assert (await create_run(client, made.id)).task_def_version == 9


async def test_validate_only_answers_what_would_be_and_writes_nothing(client: Client) -> None:
    made = await create_whole_def(client)
    request = UpdateTaskDefRequest(
        task_def=TaskDef(id=made.id, description="new", change_note="why"), validate_only=True
    )
    answer = await client.definitions.UpdateTaskDef(request)
    assert (answer.description, answer.version, answer.change_note) == ("new", 2, "why")
    assert await get_def(client, made.id) == made
    assert (await refusal(get_def(client, made.id, 2))).code == "NOT_FOUND"
    request.task_def.config.CopyFrom(json_object(blocks=3))
    refused = await refusal(client.definitions.UpdateTaskDef(request))
    assert refused.fields == ["task_def.config.blocks"]
