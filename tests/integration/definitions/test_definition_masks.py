"""Which fields an update of a definition sets."""

import pytest
from vwed.v1.task_def_pb2 import TaskDef, TaskDefStatus

from tests.support.calls import create_whole_def, get_def, json_object, update_def
from tests.support.refusals import refusal
from vwed.client import Client

DISABLED = TaskDefStatus.TASK_DEF_STATUS_DISABLED


async def test_an_empty_mask_sets_the_populated_fields(client: Client) -> None:
    made = await create_whole_def(client)
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
    made = await create_whole_def(client)
    given = TaskDef(id=made.id, description="not meant", task_type="new")
    updated = await update_def(client, given, "task_type", "labels")
    assert (updated.task_type, dict(updated.labels)) == ("new", {})
    assert (updated.description, updated.config) == (made.description, made.config)


async def test_a_star_sets_all_mutable_fields(client: Client) -> None:
    made = await create_whole_def(client)
    updated = await update_def(client, TaskDef(id=made.id, name="bare", status=DISABLED), "*")
    assert (updated.name, updated.description, updated.task_type) == ("bare", "", "")
    assert (dict(updated.labels), updated.config) == ({}, json_object())
    assert updated.HasField("config")
    assert (updated.status, updated.version) == (made.status, 2)


async def test_maps_and_objects_are_replaced_whole(client: Client) -> None:
    made = await create_whole_def(client)
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
    made = await create_whole_def(client)
    refused = await refusal(update_def(client, TaskDef(id=made.id, name="new"), "name", path))
    assert (refused.code, refused.fields) == ("INVALID_ARGUMENT", ["update_mask"])
    assert await get_def(client, made.id) == made


async def test_what_the_mask_leaves_out_is_not_checked(client: Client) -> None:
    made = await create_whole_def(client)
    given = TaskDef(id=made.id, name="x" * 1000, description="new")
    assert (await update_def(client, given, "description")).description == "new"
