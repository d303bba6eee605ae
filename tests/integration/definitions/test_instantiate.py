"""InstantiateTaskTemplate: parameters, overrides, and what the definition remembers."""

import uuid
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from vwed.v1.task_def_pb2 import TaskDef, TaskDefStatus
from vwed.v1.task_def_service_pb2 import (
    InstantiateTaskTemplateRequest,
    ListTaskDefsRequest,
    TaskDefFilter,
)
from vwed.v1.task_template_pb2 import TaskTemplate

from tests.support.calls import create_def, get_def, json_object, update_def
from tests.support.definition_calls import (
    create_template,
    instantiate,
    update_template,
    versions_of,
)
from tests.support.refusals import refusal
from vwed.client import Client

DRAFT = TaskDefStatus.TASK_DEF_STATUS_DRAFT
DISABLED = TaskDefStatus.TASK_DEF_STATUS_DISABLED
SCHEMA = json_object(
    properties={
        "to": {"type": "string", "pattern": "^P-[0-9]+$"},
        "speed": {"type": "number", "default": 1.5, "maximum": 2},
        "lift": {"$ref": "#/$defs/switch"},
        "stops": {"type": "array", "items": {"type": "string"}, "default": []},
    },
    required=["to"],
    additionalProperties=False,
    **{"$defs": {"switch": {"type": "boolean", "default": True}}},
)
CONFIG = json_object(
    blocks=[{"id": "drive", "type": "drive", "inputs": {"target": "${params.to}"}}],
    speed="${params.speed}",
    lift="${params.lift}",
    stops="${params.stops}",
    title="to ${params.to} at ${params.speed}, literally $${params.to}",
)


async def template_of(client: Client, **given: Any) -> TaskTemplate:
    given = {"config": CONFIG, "parameters_schema": SCHEMA, "task_type": "delivery", **given}
    return await create_template(client, **given)


async def made(client: Client, *arguments: Any, **given: Any) -> Any:
    """The config of an instance."""
    return MessageToDict((await instantiate(client, *arguments, **given)).config)


async def test_placeholders_become_typed_values_and_defaults_apply(client: Client) -> None:
    template = await template_of(client)
    assert await made(client, template.id, json_object(to="P-7", stops=["a", "b"])) == {
        "blocks": [{"id": "drive", "type": "drive", "inputs": {"target": "P-7"}}],
        "speed": 1.5,
        "lift": True,
        "stops": ["a", "b"],
        "title": "to P-7 at 1.5, literally ${params.to}",
    }


async def test_overrides_are_merged_last(client: Client) -> None:
    template = await template_of(client)
    overrides = json_object(
        speed=None, title="${params.to}", stops={"first": None, "last": "x"}, lift=False
    )
    found = await made(client, template.id, json_object(to="P-7"), overrides)
    assert found == {
        "blocks": [{"id": "drive", "type": "drive", "inputs": {"target": "P-7"}}],
        "title": "${params.to}",
        "stops": {"last": "x"},
        "lift": False,
    }


async def test_an_instance_is_a_definition_that_remembers_its_template(client: Client) -> None:
    template = await template_of(client, labels={"of": "template"})
    instance = await instantiate(
        client,
        template.id,
        json_object(to="P-7"),
        id="to-P-7",
        name="到 P-7",
        description="d",
        status=DRAFT,
        labels={"zone": "A"},
        change_note="made",
    )
    assert instance == await get_def(client, "to-P-7")
    assert (instance.task_template_id, instance.task_template_version) == (template.id, 1)
    assert (instance.name, instance.description, instance.status) == ("到 P-7", "d", DRAFT)
    assert (instance.version, instance.created_by) == (1, "tester")
    assert (dict(instance.labels), instance.change_note) == ({"zone": "A"}, "made")
    assert instance.task_type == "delivery"
    # Where it came from stays with it, also in its versions.
    updated = await update_def(client, TaskDef(id="to-P-7", config=json_object()))
    for version in (updated, *await versions_of(client, "to-P-7")):
        assert (version.task_template_id, version.task_template_version) == (template.id, 1)


async def test_an_instance_may_have_its_own_task_type(client: Client) -> None:
    template = await template_of(client)
    own = await instantiate(client, template.id, json_object(to="P-7"), task_type="own")
    assert own.task_type == "own"


async def test_a_template_is_taken_at_its_version_and_instances_stay(client: Client) -> None:
    template = await template_of(client)
    first = await instantiate(client, template.id, json_object(to="P-1"), id="first")
    second_config = json_object(second="${params.to}")
    await update_template(client, TaskTemplate(id=template.id, config=second_config))
    assert await made(client, template.id, json_object(to="P-2"), id="a") == {"second": "P-2"}
    old = await instantiate(client, template.id, json_object(to="P-1"), version=1, id="old")
    assert old.config == first.config
    assert (old.task_template_version, (await get_def(client, "a")).task_template_version) == (1, 2)
    assert await get_def(client, "first") == first
    refused = await refusal(instantiate(client, template.id, json_object(to="P-1"), version=3))
    assert refused.code == "NOT_FOUND"
    listed = await client.definitions.ListTaskDefs(
        ListTaskDefsRequest(filter=TaskDefFilter(task_template_ids=[template.id]))
    )
    assert [each.id for each in listed.task_defs] == ["first", "a", "old"]


@pytest.mark.parametrize(
    ("parameters", "fields"),
    [
        ({}, ["parameters.to"]),
        ({"to": "Q"}, ["parameters.to"]),
        (
            {"to": 7, "speed": "fast", "colour": 1},
            ["parameters.colour", "parameters.speed", "parameters.to"],
        ),
        ({"to": "P-7", "speed": 3}, ["parameters.speed"]),
        ({"to": "P-7", "stops": ["a", 1]}, ["parameters.stops[1]"]),
    ],
)
async def test_parameters_that_do_not_fit_are_named_and_nothing_is_made(
    client: Client, parameters: dict[str, Any], fields: list[str]
) -> None:
    template = await template_of(client)
    refused = await refusal(instantiate(client, template.id, json_object(**parameters), id="no"))
    assert (refused.code, sorted(refused.fields)) == ("INVALID_ARGUMENT", fields)
    assert (await refusal(get_def(client, "no"))).code == "NOT_FOUND"


async def test_overrides_that_break_the_config_are_named_and_nothing_is_made(
    client: Client,
) -> None:
    template = await template_of(client)
    for overrides, fields in (
        (json_object(blocks=7), ["config.blocks"]),
        (
            json_object(blocks=[{"id": "a"}, {"id": "a", "type": "x"}]),
            ["config.blocks[0].type", "config.blocks[1].id"],
        ),
        (json_object(inputs=[{"name": "x", "type": "place"}]), ["config.inputs[0].type"]),
    ):
        call = instantiate(client, template.id, json_object(to="P-7"), overrides, id="no")
        refused = await refusal(call)
        assert (refused.code, sorted(refused.fields)) == ("INVALID_ARGUMENT", fields)
    assert (await refusal(get_def(client, "no"))).code == "NOT_FOUND"


async def test_the_definition_obeys_the_rules_of_definitions(client: Client) -> None:
    template = await template_of(client)
    await create_def(client, "taken", id="taken-id")
    parameters = json_object(to="P-7")
    for given, code, fields in (
        ({"name": ""}, "INVALID_ARGUMENT", ["task_def.name"]),
        ({"name": "x", "config": json_object()}, "INVALID_ARGUMENT", ["task_def.config"]),
        ({"name": "x", "status": DISABLED}, "INVALID_ARGUMENT", ["task_def.status"]),
        ({"name": "taken"}, "ALREADY_EXISTS", []),
        ({"name": "x", "id": "taken-id"}, "ALREADY_EXISTS", []),
    ):
        refused = await refusal(instantiate(client, template.id, parameters, **given))
        assert (refused.code, refused.fields) == (code, fields)
    without = InstantiateTaskTemplateRequest(id=template.id, parameters=parameters)
    refused = await refusal(client.definitions.InstantiateTaskTemplate(without))
    assert (refused.code, refused.fields) == ("INVALID_ARGUMENT", ["task_def"])


async def test_a_request_id_makes_one_and_validate_only_none(client: Client) -> None:
    template = await template_of(client)
    request_id = str(uuid.uuid4())
    arguments: Any = (client, template.id, json_object(to="P-7"))
    answer = await instantiate(*arguments, request_id=request_id, validate_only=True)
    assert (answer.version, answer.task_template_id) == (1, template.id)
    assert (await refusal(get_def(client, answer.id))).code == "NOT_FOUND"
    first = await instantiate(*arguments, request_id=request_id)
    assert await instantiate(*arguments, request_id=request_id) == first
    refused = await refusal(instantiate(*arguments, request_id=request_id, name="other"))
    assert (refused.code, refused.reason) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")
    bad = json_object(to=1)
    refused = await refusal(instantiate(client, template.id, bad, validate_only=True))
    assert refused.fields == ["parameters.to"]
