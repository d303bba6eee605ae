"""Definitions as resources: ids, names, what Create and Get answer, whose they are."""

import re

import pytest
from google.protobuf.struct_pb2 import Struct
from vwed.v1.task_def_pb2 import TaskDef, TaskDefStatus
from vwed.v1.task_def_service_pb2 import CreateTaskDefRequest, ListTaskDefsRequest

from tests.support.calls import create_def, create_run, get_def, json_object, update_def
from tests.support.definition_calls import create_template, instantiate
from tests.support.refusals import refusal
from vwed.client import Client, connect

UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
DRAFT = TaskDefStatus.TASK_DEF_STATUS_DRAFT
ENABLED = TaskDefStatus.TASK_DEF_STATUS_ENABLED
DISABLED = TaskDefStatus.TASK_DEF_STATUS_DISABLED


async def test_create_answers_the_definition_at_version_1_as_get_does(client: Client) -> None:
    made = await create_def(
        client,
        "料箱搬运 → 线边仓 🚚",
        description="two shelves",
        task_type="transport",
        config=json_object(speed=0.5, blocks=[{"id": "a", "type": "drive"}]),
        labels={"zone": "A"},
        change_note="first",
    )
    assert made == await get_def(client, made.id)
    assert (made.version, made.status, made.created_by) == (1, ENABLED, "tester")
    assert (made.name, made.description) == ("料箱搬运 → 线边仓 🚚", "two shelves")
    assert (made.task_type, made.change_note) == ("transport", "first")
    assert made.config == json_object(speed=0.5, blocks=[{"id": "a", "type": "drive"}])
    assert made.labels == {"zone": "A"}
    assert made.create_time == made.update_time
    assert made.create_time.nanos % 1000 == 0  # microseconds
    assert made.etag
    assert not made.HasField("delete_time")


async def test_what_is_output_only_is_not_taken_from_the_creator(client: Client) -> None:
    given = TaskDef(
        version=7, created_by="mallory", etag="mine", task_template_id="t", task_template_version=3
    )
    given.delete_time.GetCurrentTime()
    given.create_time.seconds = 1
    given.name = "forged"
    made = await client.definitions.CreateTaskDef(CreateTaskDefRequest(task_def=given))
    assert (made.version, made.created_by) == (1, "tester")
    assert (made.task_template_id, made.task_template_version) == ("", 0)
    assert made.etag != "mine"
    assert made.create_time.seconds > 1
    assert not made.HasField("delete_time")


async def test_an_unset_config_is_the_empty_object(client: Client) -> None:
    made = await create_def(client)
    assert made.HasField("config")
    found = await get_def(client, made.id)
    assert found.HasField("config")
    assert found.config == Struct()


async def test_an_id_is_chosen_by_the_creator_or_a_uuid_7(client: Client) -> None:
    assert (await create_def(client, "chosen", id="wms:move.1_a-b")).id == "wms:move.1_a-b"
    assert (await create_def(client, "longest", id="x" * 128)).id == "x" * 128
    first, second = await create_def(client, "one"), await create_def(client, "two")
    assert first.id < second.id
    template = await create_template(client)
    instance = await instantiate(client, template.id)
    run = await create_run(client, first.id)
    for made in (first, second, template, instance, run):
        assert UUID7.fullmatch(made.id), made.DESCRIPTOR.name
    assert (await create_template(client, "chosen", id="9")).id == "9"
    assert (await instantiate(client, template.id, id="9")).id == "9"
    assert (await create_run(client, first.id, id="9")).id == "9"


async def test_a_taken_id_is_refused_whatever_the_name(client: Client) -> None:
    await create_def(client, "one", id="same")
    refused = await refusal(create_def(client, "two", id="same"))
    assert (refused.code, refused.reason) == ("ALREADY_EXISTS", "ID_TAKEN")


async def test_a_name_is_unique_among_live_definitions(client: Client) -> None:
    await create_def(client, "pick")
    other = await create_def(client, "Pick")  # case matters
    refused = await refusal(create_def(client, "pick"))
    assert (refused.code, refused.reason) == ("ALREADY_EXISTS", "NAME_TAKEN")
    refused = await refusal(update_def(client, TaskDef(id=other.id, name="pick")))
    assert (refused.code, refused.reason) == ("ALREADY_EXISTS", "NAME_TAKEN")
    assert (await get_def(client, other.id)) == other


async def test_what_just_keeps_the_limits_is_taken(client: Client) -> None:
    config = json_object(text="x" * 1_000_000)
    level = config
    for _ in range(29):
        level = level.fields["a"].struct_value
        level.SetInParent()
    made = await create_def(
        client,
        "箱" * 200,
        description="é" * 8_192,
        task_type="箱" * 128,
        labels={f"{n:02}{'k' * 61}": "箱" * 256 for n in range(64)},
        change_note="箱" * 512,
        config=config,
    )
    assert await get_def(client, made.id) == made
    assert made.config == config


@pytest.mark.parametrize("status", [DRAFT, ENABLED])
async def test_a_first_status_is_draft_or_enabled(
    client: Client, status: TaskDefStatus.ValueType
) -> None:
    assert (await create_def(client, status=status)).status == status


async def test_a_first_status_of_disabled_is_refused(client: Client) -> None:
    refused = await refusal(create_def(client, status=DISABLED))
    assert (refused.code, refused.fields) == ("INVALID_ARGUMENT", ["task_def.status"])


async def test_all_problems_of_a_config_are_told_at_once(client: Client) -> None:
    config = json_object(
        inputs=[{"name": "to", "type": "place"}],
        blocks=[
            {"id": "a", "type": "drive"},
            {"id": "b", "type": "if", "children": {"default": [{"id": "a", "type": "lift"}]}},
            {"type": "drop"},
        ],
    )
    refused = await refusal(create_def(client, config=config))
    assert refused.code == "INVALID_ARGUMENT"
    assert sorted(refused.fields) == [
        "task_def.config.blocks[1].children.default[0].id",
        "task_def.config.blocks[2].id",
        "task_def.config.inputs[0].type",
    ]


async def test_a_write_without_an_actor_is_by_nobody(target: str, tenant: str) -> None:
    async with connect(target, tenant=tenant, bare=True) as anonymous:
        assert (await create_def(anonymous)).created_by == ""


async def test_a_missing_definition_or_version_is_not_found(client: Client) -> None:
    made = await create_def(client)
    for call, reason in (
        (get_def(client, "nowhere"), "TASK_DEF_NOT_FOUND"),
        (get_def(client, made.id, 2), "TASK_DEF_VERSION_NOT_FOUND"),
    ):
        refused = await refusal(call)
        assert (refused.code, refused.reason) == ("NOT_FOUND", reason)


async def test_nothing_crosses_tenants(client: Client, target: str, tenant: str) -> None:
    mine = await create_def(client, "shared name", id="shared-id")
    async with connect(target, tenant=f"{tenant}-2", actor="eve", bare=True) as other:
        refused = await refusal(get_def(other, mine.id))
        assert refused.code == "NOT_FOUND"
        refused = await refusal(update_def(other, TaskDef(id=mine.id, name="stolen")))
        assert refused.code == "NOT_FOUND"
        theirs = await create_def(other, "shared name", id="shared-id", description="theirs")
        listed = await other.definitions.ListTaskDefs(ListTaskDefsRequest())
        assert [task_def.description for task_def in listed.task_defs] == ["theirs"]
        assert (await get_def(other, mine.id)) == theirs
    assert (await get_def(client, mine.id)) == mine
