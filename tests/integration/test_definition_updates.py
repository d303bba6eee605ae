"""UpdateTaskDef: field masks, etags, and which updates write a version."""

import asyncio

import grpc
import pytest
from vwed.v1.task_def_pb2 import TaskDef, TaskDefStatus
from vwed.v1.task_def_service_pb2 import UpdateTaskDefRequest

from tests.integration.calls import create_def, create_run, get_def, json_object, update_def
from tests.integration.refusals import read_refusal, refusal
from vwed_grpc.client import Client, connect

DISABLED = TaskDefStatus.TASK_DEF_STATUS_DISABLED


async def whole(client: Client) -> TaskDef:
    """A definition with something in every field."""
    return await create_def(
        client,
        description="old",
        task_type="old",
        config=json_object(speed=1, blocks=[{"id": "a", "type": "drive"}]),
        labels={"zone": "A", "line": "1"},
        change_note="first",
    )


async def test_an_empty_mask_sets_the_populated_fields(client: Client) -> None:
    made = await whole(client)
    updated = await update_def(client, TaskDef(id=made.id, description="new", change_note="why"))
    assert (updated.description, updated.version, updated.change_note) == ("new", 2, "why")
    assert (updated.name, updated.task_type, updated.config) == (
        made.name,
        made.task_type,
        made.config,
    )
    assert updated.labels == made.labels
    assert updated.etag != made.etag
    assert updated.create_time == made.create_time
    assert updated.update_time.ToNanoseconds() > made.update_time.ToNanoseconds()
    assert await get_def(client, made.id) == updated


async def test_a_mask_sets_what_it_names_and_clears_what_is_not_given(client: Client) -> None:
    made = await whole(client)
    given = TaskDef(id=made.id, description="not meant", task_type="new")
    updated = await update_def(client, given, "task_type", "labels")
    assert (updated.task_type, dict(updated.labels)) == ("new", {})
    assert (updated.description, updated.config) == (made.description, made.config)


async def test_a_star_sets_all_mutable_fields(client: Client) -> None:
    made = await whole(client)
    updated = await update_def(client, TaskDef(id=made.id, name="bare", status=DISABLED), "*")
    assert (updated.name, updated.description, updated.task_type) == ("bare", "", "")
    assert (dict(updated.labels), updated.config) == ({}, json_object())
    assert updated.HasField("config")
    assert (updated.status, updated.version) == (made.status, 2)


async def test_maps_and_objects_are_replaced_whole(client: Client) -> None:
    made = await whole(client)
    given = TaskDef(id=made.id, labels={"zone": "B"}, config=json_object(pace=2))
    for mask in ([], ["labels", "config"]):
        updated = await update_def(client, given, *mask)
        assert updated.labels == {"zone": "B"}
        assert updated.config == json_object(pace=2)


@pytest.mark.parametrize(
    "path",
    ["colour", "labels.zone", "config.speed", "status", "id", "version", "created_by", "etag", ""],
)
async def test_a_mask_that_names_something_else_is_refused(client: Client, path: str) -> None:
    made = await whole(client)
    refused = await refusal(update_def(client, TaskDef(id=made.id, name="new"), "name", path))
    assert (refused.code, refused.fields) == ("INVALID_ARGUMENT", ["update_mask"])
    assert await get_def(client, made.id) == made


@pytest.mark.parametrize("mask", [(), ("*",), ("name", "config")])
async def test_an_update_that_changes_nothing_writes_nothing(
    client: Client, mask: tuple[str, ...]
) -> None:
    made = await whole(client)
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
    made = await whole(client)
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
    first = await whole(client)
    changed = TaskDef(
        id=first.id, name="second", config=json_object(speed=2), labels={}, change_note="faster"
    )
    async with connect(target, tenant=tenant, actor="ben") as ben:
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
    made = await whole(client)
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


async def test_what_the_mask_leaves_out_is_not_checked(client: Client) -> None:
    made = await whole(client)
    given = TaskDef(id=made.id, name="x" * 1000, description="new")
    assert (await update_def(client, given, "description")).description == "new"


@pytest.mark.parametrize("id_", ["", "no id", "x" * 129])
async def test_an_update_must_name_its_definition(client: Client, id_: str) -> None:
    refused = await refusal(update_def(client, TaskDef(id=id_, name="new")))
    assert (refused.code, refused.fields) == ("INVALID_ARGUMENT", ["task_def.id"])


async def test_another_etag_aborts_the_update(client: Client) -> None:
    made = await whole(client)
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
    made = await whole(client)
    assert await get_def(client, made.id) == made
    for version in range(2, 12):
        assert (await refusal(get_def(client, made.id, version))).code == "NOT_FOUND"
        updated = await update_def(client, TaskDef(id=made.id, description=str(version)))
        assert await get_def(client, made.id) == updated
        assert (await get_def(client, made.id, version)).description == str(version)


async def test_of_racing_updates_with_one_etag_one_wins(client: Client) -> None:
    made = await whole(client)
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
    made = await whole(client)
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
    made = await whole(client)
    async with asyncio.TaskGroup() as group:
        for n in range(8):
            group.create_task(update_def(client, TaskDef(id=made.id, description=f"by {n}")))
            group.create_task(create_run(client, made.id))
    assert (await create_run(client, made.id)).task_def_version == 9


async def test_validate_only_answers_what_would_be_and_writes_nothing(client: Client) -> None:
    made = await whole(client)
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
