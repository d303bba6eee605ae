"""order_by: both directions, unset values last, ties by id, text by code point."""

import pytest
from vwed.v1.record_service_pb2 import ListTaskRecordsRequest
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_def_service_pb2 import ListTaskDefsRequest, ListTaskTemplatesRequest
from vwed.v1.task_record_pb2 import TaskRecord
from vwed.v1.task_template_pb2 import TaskTemplate

from tests.support.calls import create_def, create_run, finish_run, start_run, update_def
from tests.support.definition_calls import create_template, update_template
from tests.support.refusals import refusal
from vwed.client import Client


async def defs_by(client: Client, order_by: str, page_size: int = 2) -> list[TaskDef]:
    """All definitions in an order, read in small pages."""
    found: list[TaskDef] = []
    request = ListTaskDefsRequest(order_by=order_by, page_size=page_size)
    while True:
        answer = await client.definitions.ListTaskDefs(request)
        found += answer.task_defs
        request.page_token = answer.next_page_token
        if not request.page_token:
            return found


async def runs_by(client: Client, order_by: str, page_size: int = 1) -> list[TaskRecord]:
    found: list[TaskRecord] = []
    request = ListTaskRecordsRequest(order_by=order_by, page_size=page_size)
    while True:
        answer = await client.records.ListTaskRecords(request)
        found += answer.task_records
        request.page_token = answer.next_page_token
        if not request.page_token:
            return found


async def test_names_are_ordered_by_code_point(client: Client) -> None:
    names = ["b", "B", "a", "ä", "Z", "搬运", "_", "10", "9", "🚚", "b b", "\uffee"]
    for name in names:
        await create_def(client, name)
    assert [d.name for d in await defs_by(client, "name")] == sorted(names)
    assert [d.name for d in await defs_by(client, "name desc")] == sorted(names, reverse=True)


async def test_definitions_are_ordered_by_their_times(client: Client) -> None:
    made = [(await create_def(client, name)).id for name in ("one", "two", "three")]
    await update_def(client, TaskDef(id=made[0], description="touched"))
    assert [d.id for d in await defs_by(client, "")] == made
    assert [d.id for d in await defs_by(client, "create_time desc")] == made[::-1]
    by_update = [made[1], made[2], made[0]]
    assert [d.id for d in await defs_by(client, "update_time")] == by_update
    assert [d.id for d in await defs_by(client, "update_time desc")] == by_update[::-1]


async def test_unset_values_are_last_in_both_directions(client: Client) -> None:
    for name, task_type in (("a", ""), ("b", "lift"), ("c", ""), ("d", "drive"), ("e", "")):
        await create_def(client, name, id=f"id-{name}", task_type=task_type)
    for size in (1, 2, 3):
        ascending = await defs_by(client, "task_type", size)
        assert "".join(d.name for d in ascending) == "dbace"
        descending = await defs_by(client, "task_type desc", size)
        assert "".join(d.name for d in descending) == "bdace"


async def test_templates_are_ordered_as_definitions_are(client: Client) -> None:
    made = [
        await create_template(client, name, task_type=task_type)
        for name, task_type in (("b", ""), ("B", "lift"), ("搬", "drive"), ("a", ""))
    ]
    await update_template(client, TaskTemplate(id=made[0].id, description="touched"))
    for order_by, names in (
        ("", "bB搬a"),
        ("create_time desc", "a搬Bb"),
        ("update_time", "B搬ab"),
        ("update_time desc", "ba搬B"),
        ("name", "Bab搬"),
        ("name desc", "搬baB"),
        ("task_type, name", "搬Bab"),
        ("task_type desc, name", "B搬ab"),
    ):
        listed = await client.definitions.ListTaskTemplates(
            ListTaskTemplatesRequest(order_by=order_by)
        )
        assert "".join(each.name for each in listed.task_templates) == names, order_by


async def test_ties_are_broken_by_id_or_as_told(client: Client) -> None:
    for name, id_ in (("a", "id-3"), ("b", "id-1"), ("c", "id-2")):
        await create_def(client, name, id=id_, task_type="same")
    for order_by, names in (
        ("task_type", "bca"),
        ("task_type desc", "bca"),
        ("task_type asc, id desc", "acb"),
        ("task_type,name desc", "cba"),
        (" task_type  desc ,  name ", "abc"),
    ):
        assert "".join(d.name for d in await defs_by(client, order_by, 1)) == names


async def test_runs_are_ordered_by_priority(client: Client) -> None:
    task_def = await create_def(client)
    for priority in (0, 5, -(2**31), 2**31 - 1, 5):
        await create_run(client, task_def.id, priority=priority)
    expected = [-(2**31), 0, 5, 5, 2**31 - 1]
    assert [run.priority for run in await runs_by(client, "priority")] == expected
    descending = await runs_by(client, "priority desc, create_time")
    assert [run.priority for run in descending] == expected[::-1]


async def test_runs_without_a_start_or_an_end_are_last_in_both_directions(client: Client) -> None:
    task_def = await create_def(client)
    ids = [f"run-{n}" for n in range(5)]
    for id_ in ids:
        await create_run(client, task_def.id, id=id_)
    for id_ in ("run-3", "run-0", "run-2"):
        await start_run(client, id_)
    for id_ in ("run-2", "run-3"):
        await finish_run(client, id_)
    for order_by, expected in (
        ("", "43210"),
        ("create_time", "01234"),
        ("start_time", "30214"),
        ("start_time desc", "20314"),
        ("end_time", "23014"),
        ("end_time desc", "32014"),
        ("end_time desc, create_time desc", "32410"),
    ):
        for size in (1, 2, 5):
            found = await runs_by(client, order_by, size)
            assert "".join(run.id.removeprefix("run-") for run in found) == expected


@pytest.mark.parametrize(
    "order_by",
    [
        "colour",
        "Name",
        "name sideways",
        "name DESC",
        "name desc desc",
        "name,",
        ",",
        "name,,id",
        "name, name desc",
        "name; DROP TABLE task_defs",
        "name desc nulls first",
        "config",
        "labels.zone",
        "x" * 513,
        "tenant",
        "etag",
    ],
)
async def test_what_is_no_order_is_refused(client: Client, order_by: str) -> None:
    refused = await refusal(client.definitions.ListTaskDefs(ListTaskDefsRequest(order_by=order_by)))
    assert (refused.code, refused.fields) == ("INVALID_ARGUMENT", ["order_by"])
    refused = await refusal(
        client.records.ListTaskRecords(ListTaskRecordsRequest(order_by=order_by))
    )
    assert (refused.code, refused.fields) == ("INVALID_ARGUMENT", ["order_by"])
