"""ExportTaskDefs: which items, in which order, with which fields."""

import uuid
from typing import Any

import grpc
from vwed.v1.task_def_pb2 import TaskDef, TaskDefStatus
from vwed.v1.task_def_service_pb2 import DisableTaskDefRequest
from vwed.v1.task_template_pb2 import TaskTemplate

from tests.support.calls import (
    create_def,
    create_whole_def,
    delete_def,
    get_def,
    json_object,
    update_def,
)
from tests.support.definition_calls import (
    create_template,
    delete_template,
    export,
    import_,
    instantiate,
    items,
    update_template,
)
from vwed.client import Client, connect

ENABLED = TaskDefStatus.TASK_DEF_STATUS_ENABLED
DISABLED = TaskDefStatus.TASK_DEF_STATUS_DISABLED
EXPORT = "/vwed.v1.TaskDefService/ExportTaskDefs"


async def raw_export(target: str, tenant: str) -> list[bytes]:
    """The messages as they come over the wire."""
    async with grpc.aio.insecure_channel(target) as channel:
        method: Any = channel.unary_stream(EXPORT)
        call = method(b"", metadata=(("x-vwed-tenant", tenant),))
        return [raw async for raw in call]


async def test_templates_come_first_each_by_id_and_version(client: Client) -> None:
    for id_ in ("b", "B", "a-1", "a"):
        await create_def(client, f"def {id_}", id=id_)
        await create_template(client, f"template {id_}", id=id_)
    for n in range(2, 12):
        await update_def(client, TaskDef(id="a", description=str(n)))
    await update_template(client, TaskTemplate(id="B", description="2"))
    by_code_point = ["B", "a", "a-1", "b"]
    templates = [("task_template", id_, 1) for id_ in by_code_point]
    templates.insert(1, ("task_template", "B", 2))
    definitions = [("task_def", id_, 1) for id_ in by_code_point]
    definitions[2:2] = [("task_def", "a", n) for n in range(2, 12)]
    exported = await export(client)
    kinds = [each.WhichOneof("item") for each in exported]
    found = [
        (kind, each.id, each.version) for kind, each in zip(kinds, items(exported), strict=True)
    ]
    assert found == templates + definitions


async def test_an_item_has_its_content_and_nothing_of_this_system(client: Client) -> None:
    made = await create_whole_def(client)
    await update_def(client, TaskDef(id=made.id, name="second", change_note="two"))
    await client.definitions.DisableTaskDef(DisableTaskDefRequest(id=made.id))
    first, second = items(await export(client))
    assert isinstance(first, TaskDef)
    assert isinstance(second, TaskDef)
    for found, status in ((first, TaskDefStatus.TASK_DEF_STATUS_UNSPECIFIED), (second, DISABLED)):
        expected = await get_def(client, made.id, found.version)
        for field in ("created_by", "create_time", "update_time"):
            expected.ClearField(field)
        expected.status = status
        assert found == expected


async def test_the_template_of_an_instance_is_named(client: Client) -> None:
    template = await create_template(client)
    await instantiate(client, template.id, id="made")
    exported, instance = items(await export(client))
    assert exported == TaskTemplate(
        id=template.id,
        name=template.name,
        version=1,
        config=json_object(),
        parameters_schema=json_object(),
    )
    assert isinstance(instance, TaskDef)
    assert (instance.task_template_id, instance.task_template_version) == (template.id, 1)
    assert instance.status == ENABLED


async def test_what_is_deleted_is_left_out(client: Client) -> None:
    for id_ in ("gone", "kept"):
        await create_def(client, id_, id=id_)
        await create_template(client, id_, id=id_)
    await delete_def(client, "gone")
    await delete_template(client, "gone")
    assert [each.id for each in items(await export(client))] == ["kept", "kept"]


async def test_a_site_of_any_size_goes_through_and_comes_back(
    client: Client, target: str, tenant: str
) -> None:
    """More definitions, and more bytes of one's versions, than are read at once."""
    for n in range(5):
        large = json_object(text=str(n) * 900_000)
        if n == 0:
            await create_def(client, "large", id="large", config=large)
        else:
            await update_def(client, TaskDef(id="large", config=large))
    many = [TaskDef(id=f"def-{n:03}", name=f"def {n}", version=1) for n in range(210)]
    assert (await import_(client, *many)).created == 210
    exported = await raw_export(target, tenant)
    assert len(exported) == 215
    other = f"t-{uuid.uuid4()}"
    async with connect(target, tenant=other, bare=True) as empty:
        answer = await import_(empty, *items(await export(client)))
        assert (answer.created, len(answer.errors)) == (211, 0)
    assert await raw_export(target, other) == exported


async def test_nothing_is_exported_of_nothing(client: Client) -> None:
    assert await export(client) == []
