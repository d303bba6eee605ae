"""Templates as resources: the rules of definitions, and of the schema and the placeholders."""

import uuid
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct
from vwed.v1.common_pb2 import View
from vwed.v1.task_def_service_pb2 import (
    CreateTaskTemplateRequest,
    ListTaskTemplatesRequest,
    ListTaskTemplateVersionsRequest,
    UndeleteTaskTemplateRequest,
    UpdateTaskTemplateRequest,
)
from vwed.v1.task_template_pb2 import TaskTemplate

from tests.support.calls import create_def, json_object
from tests.support.definition_calls import (
    create_template,
    delete_template,
    get_template,
    instantiate,
    update_template,
)
from tests.support.refusals import refusal
from vwed.client import Client, connect

SCHEMA = json_object(properties={"to": {"type": "string"}}, required=["to"])
CONFIG = json_object(blocks=[{"id": "a", "type": "drive", "inputs": {"target": "${params.to}"}}])


async def create_whole(client: Client) -> TaskTemplate:
    return await create_template(
        client,
        "线边配送",
        description="to the line",
        task_type="delivery",
        config=CONFIG,
        parameters_schema=SCHEMA,
        labels={"zone": "A"},
        change_note="first",
    )


async def undelete(client: Client, id_: str, **given: Any) -> TaskTemplate:
    request = UndeleteTaskTemplateRequest(id=id_, **given)
    return await client.definitions.UndeleteTaskTemplate(request)


async def test_create_answers_the_template_at_version_1_as_get_does(client: Client) -> None:
    made = await create_whole(client)
    assert made == await get_template(client, made.id)
    assert (made.version, made.created_by, made.change_note) == (1, "tester", "first")
    assert (made.name, made.description) == ("线边配送", "to the line")
    assert (made.task_type, dict(made.labels)) == ("delivery", {"zone": "A"})
    assert (made.config, made.parameters_schema) == (CONFIG, SCHEMA)
    assert made.create_time == made.update_time
    assert made.etag
    assert not made.HasField("delete_time")
    bare = await create_template(client, "bare")
    for field in ("config", "parameters_schema"):
        assert bare.HasField(field), "unset is the empty object"


async def test_what_is_output_only_is_not_taken_from_the_creator(client: Client) -> None:
    given = TaskTemplate(name="forged", version=7, created_by="mallory", etag="mine")
    given.delete_time.GetCurrentTime()
    made = await client.definitions.CreateTaskTemplate(
        CreateTaskTemplateRequest(task_template=given)
    )
    assert (made.version, made.created_by) == (1, "tester")
    assert made.etag != "mine"
    assert not made.HasField("delete_time")


async def test_ids_and_live_names_are_taken_among_templates_alone(client: Client) -> None:
    made = await create_template(client, "pick", id="same")
    await create_def(client, "pick", id="same")
    for name, id_, reason in (("pick", "other", "NAME_TAKEN"), ("other", "same", "ID_TAKEN")):
        refused = await refusal(create_template(client, name, id=id_))
        assert (refused.code, refused.reason) == ("ALREADY_EXISTS", reason)
    await delete_template(client, made.id)
    again = await create_template(client, "pick", id="second")
    assert (await refusal(create_template(client, "x", id="same"))).reason == "ID_TAKEN"
    assert (await refusal(undelete(client, "same"))).reason == "NAME_TAKEN"
    await delete_template(client, again.id)
    assert (await undelete(client, "same")).name == "pick"


async def test_each_field_of_the_content_makes_a_version_that_is_kept(
    client: Client, target: str, tenant: str
) -> None:
    stages = [await create_whole(client)]
    more = json_object(properties={"to": {"type": "string"}, "speed": {"default": 1}})
    async with connect(target, tenant=tenant, actor="ben", bare=True) as ben:
        for given in (
            TaskTemplate(name="new", change_note="why"),
            TaskTemplate(description="new"),
            TaskTemplate(task_type="new"),
            TaskTemplate(parameters_schema=more),
            TaskTemplate(config=json_object(pace="${params.speed}")),
            TaskTemplate(labels={"zone": "B"}),
        ):
            given.id = stages[0].id
            stages.append(await update_template(ben, given))
            assert await update_template(ben, given) == stages[-1], "which changes nothing"
    assert [stage.version for stage in stages] == [1, 2, 3, 4, 5, 6, 7]
    assert (stages[1].created_by, stages[1].change_note) == ("ben", "why")
    assert await get_template(client, stages[0].id) == stages[-1]
    listed = await client.definitions.ListTaskTemplateVersions(
        ListTaskTemplateVersionsRequest(id=stages[0].id, view=View.VIEW_FULL, include_total=True)
    )
    assert listed.total_size == 7
    for stage, version in zip(reversed(stages), listed.task_template_versions, strict=True):
        assert version == await get_template(client, stage.id, stage.version)
        assert not version.etag
        version.etag = stage.etag
        assert version == stage


async def test_lists_and_histories_are_basic_unless_asked(client: Client) -> None:
    made = await create_whole(client)
    for view, full in ((View.VIEW_UNSPECIFIED, False), (View.VIEW_FULL, True)):
        listed = await client.definitions.ListTaskTemplates(ListTaskTemplatesRequest(view=view))
        history = await client.definitions.ListTaskTemplateVersions(
            ListTaskTemplateVersionsRequest(id=made.id, view=view)
        )
        for found in (*listed.task_templates, *history.task_template_versions):
            assert found.HasField("config") == found.HasField("parameters_schema") == full
            assert (found.name, found.labels) == (made.name, made.labels)


async def test_masks(client: Client) -> None:
    made = await create_whole(client)
    given = TaskTemplate(id=made.id, description="not meant", task_type="new")
    updated = await update_template(client, given, "task_type", "labels")
    assert (updated.task_type, dict(updated.labels)) == ("new", {})
    assert (updated.description, updated.config) == (made.description, made.config)
    updated = await update_template(client, TaskTemplate(id=made.id, name="bare"), "*")
    assert (updated.description, updated.task_type) == ("", "")
    assert (updated.config, updated.parameters_schema) == (Struct(), Struct())
    assert updated.HasField("parameters_schema")
    for path in ("colour", "status", "config.a", "version"):
        refused = await refusal(update_template(client, TaskTemplate(id=made.id), path))
        assert (refused.code, refused.fields) == ("INVALID_ARGUMENT", ["update_mask"])


async def test_the_result_of_an_update_is_checked(client: Client) -> None:
    made = await create_whole(client)
    placeholder = "task_template.config.blocks[0].inputs.target"
    for given, mask, fields in (
        # Either half alone must still fit the other.
        (TaskTemplate(), "parameters_schema", [placeholder]),
        (TaskTemplate(config=json_object(a="${params.from}")), "", ["task_template.config.a"]),
        (TaskTemplate(name="x" * 201), "", ["task_template.name"]),
        (TaskTemplate(), "name", ["task_template.name"]),
    ):
        given.id = made.id
        refused = await refusal(update_template(client, given, *([mask] if mask else [])))
        assert (refused.code, refused.fields) == ("INVALID_ARGUMENT", fields)
    assert await get_template(client, made.id) == made


async def test_an_etag_is_compared(client: Client) -> None:
    made = await create_whole(client)
    for call in (
        update_template(client, TaskTemplate(id=made.id, name="new", etag="another")),
        delete_template(client, made.id, etag="another"),
    ):
        refused = await refusal(call)
        assert (refused.code, refused.reason) == ("ABORTED", "ETAG_MISMATCH")
    assert await get_template(client, made.id) == made
    assert (await delete_template(client, made.id, etag=made.etag)).HasField("delete_time")


async def test_nothing_but_reading_and_undelete_works_on_a_deleted_one(client: Client) -> None:
    made = await create_whole(client)
    instance = await instantiate(client, made.id, json_object(to="A"))
    gone = await delete_template(client, made.id)
    for call in (
        update_template(client, TaskTemplate(id=made.id, name="new")),
        delete_template(client, made.id),
        instantiate(client, made.id, json_object(to="A"), id="late"),
        instantiate(client, made.id, json_object(to="A"), id="late", version=1),
    ):
        refused = await refusal(call)
        assert (refused.code, refused.reason) == ("FAILED_PRECONDITION", "TASK_TEMPLATE_DELETED")
    assert await get_template(client, made.id) == gone
    first = await get_template(client, made.id, 1)
    assert (first.config, first.HasField("delete_time")) == (CONFIG, False)
    history = await client.definitions.ListTaskTemplateVersions(
        ListTaskTemplateVersionsRequest(id=made.id)
    )
    assert [each.version for each in history.task_template_versions] == [1]
    assert instance.task_template_id == made.id
    listed = await client.definitions.ListTaskTemplates(ListTaskTemplatesRequest())
    assert not listed.task_templates
    listed = await client.definitions.ListTaskTemplates(ListTaskTemplatesRequest(show_deleted=True))
    assert [template.id for template in listed.task_templates] == [made.id]
    back = await undelete(client, made.id, etag=gone.etag)
    refused = await refusal(undelete(client, made.id))
    assert (refused.code, refused.reason) == ("ALREADY_EXISTS", "TASK_TEMPLATE_NOT_DELETED")
    assert back.version == 1
    assert not back.HasField("delete_time")


@pytest.mark.parametrize("version", [0, 1])
async def test_what_is_not_there_is_not_found(client: Client, version: int) -> None:
    for call in (
        get_template(client, "nowhere", version),
        update_template(client, TaskTemplate(id="nowhere", name="x")),
        delete_template(client, "nowhere"),
        undelete(client, "nowhere"),
        instantiate(client, "nowhere", version=version),
    ):
        refused = await refusal(call)
        assert (refused.code, refused.reason) == ("NOT_FOUND", "TASK_TEMPLATE_NOT_FOUND")


async def test_a_request_id_makes_one_and_validate_only_none(client: Client) -> None:
    request = CreateTaskTemplateRequest(
        task_template=TaskTemplate(name="pick", config=CONFIG, parameters_schema=SCHEMA),
        request_id=str(uuid.uuid4()),
        validate_only=True,
    )
    answer = await client.definitions.CreateTaskTemplate(request)
    assert (answer.name, answer.version, answer.created_by) == ("pick", 1, "tester")
    assert (await refusal(get_template(client, answer.id))).code == "NOT_FOUND"
    request.validate_only = False
    made = await client.definitions.CreateTaskTemplate(request)
    assert await client.definitions.CreateTaskTemplate(request) == made
    request.task_template.name = "place"
    assert (await refusal(client.definitions.CreateTaskTemplate(request))).reason == (
        "REQUEST_ID_REUSED"
    )
    update = UpdateTaskTemplateRequest(
        task_template=TaskTemplate(id=made.id, name="new"), validate_only=True
    )
    assert (await client.definitions.UpdateTaskTemplate(update)).version == 2
    assert await get_template(client, made.id) == made
