"""Filters of definitions, templates and blocks: fields are ANDed, values within one ORed."""

from typing import Any

from vwed.v1.block_record_pb2 import (
    BlockRecord,
    BlockRecordFilter,
    BlockRecordKey,
    BlockRecordStatus,
)
from vwed.v1.record_service_pb2 import (
    ListBlockRecordsRequest,
    ReportBlocksRequest,
)
from vwed.v1.task_def_pb2 import TaskDef, TaskDefStatus
from vwed.v1.task_def_service_pb2 import (
    CreateTaskTemplateRequest,
    InstantiateTaskTemplateRequest,
    ListTaskDefsRequest,
    ListTaskTemplatesRequest,
    TaskDefFilter,
    TaskTemplateFilter,
)
from vwed.v1.task_template_pb2 import TaskTemplate

from tests.support.calls import create_def, create_run, start_run
from vwed.client import Client

DRAFT = TaskDefStatus.TASK_DEF_STATUS_DRAFT
ENABLED = TaskDefStatus.TASK_DEF_STATUS_ENABLED
DISABLED = TaskDefStatus.TASK_DEF_STATUS_DISABLED
BLOCK_RUNNING = BlockRecordStatus.BLOCK_RECORD_STATUS_RUNNING
BLOCK_FAILED = BlockRecordStatus.BLOCK_RECORD_STATUS_FAILED


async def defs(client: Client, **fields: Any) -> str:
    """The ids of the definitions that a filter leaves."""
    answer = await client.definitions.ListTaskDefs(
        ListTaskDefsRequest(filter=TaskDefFilter(**fields), order_by="id", include_total=True)
    )
    assert answer.total_size == len(answer.task_defs)
    return " ".join(task_def.id for task_def in answer.task_defs)


async def test_definitions(client: Client) -> None:
    await create_def(client, "pick", id="a", task_type="lift", labels={"zone": "A", "line": "1"})
    await create_def(client, "place", id="b", task_type="drive", labels={"zone": "A"})
    await create_def(client, "pick 2", id="c", task_type="lift", status=DRAFT)
    for fields, ids in (
        ({}, "a b c"),
        ({"names": ["pick"]}, "a"),
        ({"names": ["pick", "place", "nothing"]}, "a b"),
        ({"names": ["Pick"]}, ""),
        ({"task_types": ["lift"]}, "a c"),
        ({"task_types": ["lift", "drive"], "statuses": [ENABLED]}, "a b"),
        ({"statuses": [DRAFT, DISABLED]}, "c"),
        ({"labels": {"zone": "A"}}, "a b"),
        ({"labels": {"zone": "A", "line": "1"}}, "a"),
        ({"labels": {"zone": "B"}}, ""),
        ({"labels": {"zone": ""}}, "c"),
        ({"name_contains": "pick", "task_types": ["lift"], "statuses": [DRAFT]}, "c"),
        ({"names": ["place"], "task_types": ["lift"]}, ""),
    ):
        assert await defs(client, **fields) == ids, fields


async def test_a_label_is_asked_for_by_its_whole_key(client: Client) -> None:
    """A key that no label can have finds nothing, and all are without it."""
    await create_def(client, "equal", id="a", labels={"zone": "a=b", "line": "%3D"})
    await create_def(client, "plain", id="b", labels={"zone": "b"})
    for labels, ids in (
        ({"zone": "a=b"}, "a"),
        ({"zone=a": "b"}, ""),
        ({"zone=a": ""}, "a b"),
        ({"zone%3Da": "b"}, ""),
        ({"line=": "%3D"}, ""),
        ({"": "zone=b"}, ""),
        ({"": ""}, "a b"),
    ):
        assert await defs(client, labels=labels) == ids, labels


async def test_name_contains_takes_every_character_as_it_is(client: Client) -> None:
    names = {
        "a": "50% off",
        "b": "50 off",
        "c": "a_b",
        "d": "axb",
        "e": "back\\slash",
        "f": "搬运'",
    }
    for id_, name in names.items():
        await create_def(client, name, id=id_)
    for text, ids in (
        ("off", "a b"),
        ("0% o", "a"),
        ("%", "a"),
        ("_", "c"),
        ("\\", "e"),
        ("/", ""),
        ("搬", "f"),
        ("'", "f"),
        ("OFF", ""),  # case matters
        ("50% off", "a"),
    ):
        assert await defs(client, name_contains=text) == ids, text


async def test_instances_of_a_template(client: Client) -> None:
    for id_ in ("t1", "t2"):
        template = TaskTemplate(id=id_, name=f"template {id_}")
        await client.definitions.CreateTaskTemplate(
            CreateTaskTemplateRequest(task_template=template)
        )
        await client.definitions.InstantiateTaskTemplate(
            InstantiateTaskTemplateRequest(id=id_, task_def=TaskDef(id=f"of-{id_}", name=id_))
        )
    await create_def(client, id="of-none")
    assert await defs(client, task_template_ids=["t1"]) == "of-t1"
    assert await defs(client, task_template_ids=["t1", "t2", "t3"]) == "of-t1 of-t2"


async def test_templates(client: Client) -> None:
    for template in (
        TaskTemplate(id="a", name="pick", task_type="lift", labels={"zone": "A"}),
        TaskTemplate(id="b", name="place", task_type="lift"),
        TaskTemplate(id="c", name="p_ck", task_type="drive", labels={"zone": "A"}),
    ):
        await client.definitions.CreateTaskTemplate(
            CreateTaskTemplateRequest(task_template=template)
        )
    for wanted, ids in (
        (TaskTemplateFilter(), "a b c"),
        (TaskTemplateFilter(names=["pick", "place"]), "a b"),
        (TaskTemplateFilter(name_contains="p_"), "c"),
        (TaskTemplateFilter(task_types=["lift"], labels={"zone": "A"}), "a"),
    ):
        answer = await client.definitions.ListTaskTemplates(
            ListTaskTemplatesRequest(filter=wanted, order_by="id")
        )
        assert " ".join(template.id for template in answer.task_templates) == ids


async def test_blocks(client: Client) -> None:
    run = await start_run(client, (await create_run(client, (await create_def(client)).id)).id)
    b = BlockRecord
    reported = await client.records.ReportBlocks(
        ReportBlocksRequest(
            task_record_id=run.id,
            block_records=[
                b(block_id="loop", block_type="for", status=BLOCK_RUNNING),
                b(block_id="x", iteration="3", parent=BlockRecordKey(block_id="loop")),
                b(block_id="x", iteration="3.1", robot_id="r1"),
                b(block_id="x", iteration="30", robot_id="r2"),
                b(block_id="y", status=BLOCK_FAILED),
                b(block_id="y", attempt=2, status=BLOCK_RUNNING),
            ],
        )
    )
    loop = reported.block_records[0].id
    every = [(r.block_id, r.iteration, r.attempt) for r in reported.block_records]
    for fields, places in (
        ({}, [0, 1, 2, 3, 4, 5]),
        ({"statuses": [BLOCK_RUNNING]}, [0, 5]),
        ({"statuses": [BLOCK_RUNNING, BLOCK_FAILED]}, [0, 4, 5]),
        ({"block_ids": ["x"]}, [1, 2, 3]),
        ({"block_ids": ["loop", "y"]}, [0, 4, 5]),
        ({"block_types": ["for"]}, [0]),
        ({"parent_block_record_id": loop}, [1]),
        ({"robot_ids": ["r1", "r2"]}, [2, 3]),
        ({"iteration_prefix": "3"}, [1, 2]),
        ({"iteration_prefix": "3.1"}, [2]),
        ({"iteration_prefix": "%"}, []),
        ({"latest_attempt_only": True}, [0, 1, 2, 3, 5]),
        ({"latest_attempt_only": True, "statuses": [BLOCK_FAILED]}, []),
        ({"block_ids": ["x"], "robot_ids": ["r2"]}, [3]),
    ):
        request = ListBlockRecordsRequest(
            task_record_id=run.id,
            filter=BlockRecordFilter(**fields),
            include_total=True,
        )
        answer = await client.records.ListBlockRecords(request)
        found = [(r.block_id, r.iteration, r.attempt) for r in answer.block_records]
        assert found == [every[place] for place in places], fields
        assert answer.total_size == len(places)
