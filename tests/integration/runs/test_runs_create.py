"""CreateTaskRecord: what a run is made of, and what is refused."""

import asyncio
import uuid
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from grpc import StatusCode
from vwed.v1.record_service_pb2 import (
    CreateTaskRecordRequest,
    DeleteTaskRecordRequest,
    FinishTaskRecordRequest,
    ListTaskRecordsRequest,
)
from vwed.v1.task_def_pb2 import TaskDef, TaskDefStatus
from vwed.v1.task_def_service_pb2 import (
    DeleteTaskDefRequest,
    DisableTaskDefRequest,
    UpdateTaskDefRequest,
)
from vwed.v1.task_record_pb2 import BlockCounts, TaskRecord

from tests.support.steps import (
    block,
    blocks_of,
    create,
    define,
    get,
    history,
    refused,
    report,
    running,
    sql,
    start,
    struct,
)
from vwed.client import Client, connect, error_info
from vwed_grpc.domain.lifecycle import FAILED, PENDING, RUNNING, SUCCEEDED

INPUTS = {
    "inputs": [
        {"name": "target", "type": "string", "required": True},
        {"name": "speed", "type": "number", "default": 1.5},
        {"name": "count", "type": "integer"},
    ]
}


async def make(client: Client, record: TaskRecord, **fields: Any) -> TaskRecord:
    return await client.records.CreateTaskRecord(
        CreateTaskRecordRequest(task_record=record, **fields)
    )


async def test_its_first_event_waits_for_no_other(client: Client, database_url: str) -> None:
    """Watchers are told of what was written together when all of it is there."""
    run = await create(client)
    query = "SELECT seq, group_seq FROM task_record_events WHERE task_record_id = :id"
    assert [tuple(row) for row in await sql(database_url, query, id=run.id)] == [(1, 1)]


async def test_a_new_run(client: Client) -> None:
    task_def = await define(client, name="deliver", task_type="transport")
    run = await create(
        client,
        task_def.id,
        input=struct({"order": 7}),
        priority=3,
        external_id="wms-1",
        labels={"hall": "b"},
        pinned=True,
    )
    assert run == TaskRecord(
        id=run.id,
        task_def_id=task_def.id,
        task_def_version=1,
        task_def_name="deliver",
        task_type="transport",
        status=PENDING,
        input=struct({"order": 7}),
        priority=3,
        external_id="wms-1",
        labels={"hall": "b"},
        pinned=True,
        root_task_record_id=run.id,
        attempt=1,
        block_counts=BlockCounts(total=2),
        seq=1,
        created_by="tester",
        create_time=run.create_time,
        update_time=run.create_time,
        etag=run.etag,
    )
    assert run.etag
    assert run.create_time.seconds > 0
    assert await get(client, run.id) == run


async def test_its_first_event_is_its_creation(client: Client) -> None:
    run = await create(client, input=struct({"order": 7}))
    (event,) = await history(client, run.id)
    assert event.seq == 1
    assert event.actor == "tester"
    assert event.task_record == run
    assert event.event_time == run.create_time


async def test_the_definition_may_be_named(client: Client) -> None:
    task_def = await define(client, name="deliver")
    other = await define(client)
    assert (await make(client, TaskRecord(task_def_name="deliver"))).task_def_id == task_def.id
    both = TaskRecord(task_def_id=task_def.id, task_def_name="deliver")
    assert (await make(client, both)).task_def_id == task_def.id
    with refused(StatusCode.INVALID_ARGUMENT) as refusal:
        await make(client, TaskRecord(task_def_id=other.id, task_def_name="deliver"))
    assert refusal.fields == ["task_record.task_def_name"]
    with refused(StatusCode.INVALID_ARGUMENT) as refusal:
        await make(client, TaskRecord())
    assert refusal.fields == ["task_record.task_def_id"]


async def test_the_version_is_pinned(client: Client) -> None:
    task_def = await define(client, name="first", task_type="one")
    early = await create(client, task_def.id)
    changed = TaskDef(id=task_def.id, name="second", task_type="two", config=struct({"blocks": []}))
    await client.definitions.UpdateTaskDef(UpdateTaskDefRequest(task_def=changed))
    late = await create(client, task_def.id)
    old = await create(client, task_def.id, task_def_version=1)
    pinned = [
        (r.task_def_version, r.task_def_name, r.task_type, r.block_counts.total)
        for r in (await get(client, early.id), late, old)
    ]
    assert pinned == [(1, "first", "one", 2), (2, "second", "two", 0), (1, "first", "one", 2)]
    with refused(StatusCode.NOT_FOUND):
        await create(client, task_def.id, task_def_version=3)


async def test_runs_of_a_definition_that_is_being_changed(client: Client) -> None:
    task_def = await define(client)

    async def change(number: int) -> None:
        changed = TaskDef(id=task_def.id, description=str(number))
        await client.definitions.UpdateTaskDef(UpdateTaskDefRequest(task_def=changed))

    await asyncio.gather(
        *(change(n) for n in range(15)), *(create(client, task_def.id) for _ in range(15))
    )


async def test_input_defaults_are_filled_in(client: Client) -> None:
    task_def = await define(client, INPUTS)
    run = await create(client, task_def.id, input=struct({"target": "a", "note": "x"}))
    assert MessageToDict(run.input) == {"target": "a", "note": "x", "speed": 1.5}


async def test_every_bad_input_is_named_by_its_path(client: Client) -> None:
    task_def = await define(client, INPUTS)
    with refused(StatusCode.INVALID_ARGUMENT) as refusal:
        await create(client, task_def.id, input=struct({"speed": "fast", "count": 1.5}))
    assert refusal.fields == [
        "task_record.input.target",
        "task_record.input.speed",
        "task_record.input.count",
    ]


async def test_only_an_enabled_definition_runs(client: Client) -> None:
    draft = await define(client, status=TaskDefStatus.TASK_DEF_STATUS_DRAFT)
    disabled = await define(client)
    await client.definitions.DisableTaskDef(DisableTaskDefRequest(id=disabled.id))
    deleted = await define(client, name="gone")
    await client.definitions.DeleteTaskDef(DeleteTaskDefRequest(id=deleted.id))
    for task_def in (draft, disabled, deleted):
        with refused(StatusCode.FAILED_PRECONDITION, "TASK_DEF_NOT_ENABLED"):
            await create(client, task_def.id)
    with refused(StatusCode.NOT_FOUND):
        await make(client, TaskRecord(task_def_name="gone"))
    with refused(StatusCode.NOT_FOUND, "TASK_DEF_NOT_FOUND"):
        await create(client, "nowhere")


async def test_what_the_service_sets_cannot_be_given(client: Client) -> None:
    run = await create(
        client,
        status=SUCCEEDED,
        result=struct({"a": 1}),
        executor_id="robot-1",
        lease_epoch=7,
        attempt=9,
        seq=99,
        retry_of="other",
        root_task_record_id="other",
        created_by="other",
        progress=0.5,
        error_message="no",
    )
    assert (run.status, run.attempt, run.seq, run.created_by) == (PENDING, 1, 1, "tester")
    assert run.root_task_record_id == run.id
    assert not run.HasField("result")
    assert (run.executor_id, run.lease_epoch, run.retry_of, run.progress) == ("", 0, "", 0)


async def test_an_id_is_taken_even_after_its_run(client: Client, target: str) -> None:
    run = await create(client, id="order-1")
    assert run.id == "order-1"
    with refused(StatusCode.ALREADY_EXISTS) as refusal:
        await create(client, run.task_def_id, id="order-1")
    assert refusal.metadata["id"] == "order-1"
    await client.records.DeleteTaskRecord(DeleteTaskRecordRequest(id=run.id, force=True))
    with refused(StatusCode.ALREADY_EXISTS):
        await create(client, run.task_def_id, id="order-1")
    with refused(StatusCode.INVALID_ARGUMENT):
        await create(client, run.task_def_id, id="-")
    async with connect(target, tenant=f"other-{uuid.uuid4().hex}", bare=True) as other:
        assert (await create(other, id="order-1")).id == "order-1"


async def test_an_id_goes_to_one_of_many(client: Client) -> None:
    task_def = await define(client)
    tries = [create(client, task_def.id, id="order-1") for _ in range(10)]
    ends = await asyncio.gather(*tries, return_exceptions=True)
    refusals = [e for e in ends if isinstance(e, grpc.aio.AioRpcError)]
    assert {e.code() for e in refusals} == {StatusCode.ALREADY_EXISTS}
    assert len(refusals) == 9


async def test_a_unique_external_id_has_one_open_run(client: Client) -> None:
    task_def = await define(client)
    record = TaskRecord(task_def_id=task_def.id, external_id="wms-1")
    tries = [make(client, record, unique_external_id=True) for _ in range(20)]
    ends = await asyncio.gather(*tries, return_exceptions=True)
    (made,) = [end for end in ends if isinstance(end, TaskRecord)]
    for end in ends:
        if isinstance(end, grpc.aio.AioRpcError):
            info = error_info(end)
            assert info is not None
            assert (end.code(), info.reason) == (StatusCode.ALREADY_EXISTS, "EXTERNAL_ID_TAKEN")
            assert info.metadata["id"] == made.id
    assert sum(isinstance(end, grpc.aio.AioRpcError) for end in ends) == 19

    await make(client, record)  # who does not ask for uniqueness does not get it
    for run in (await client.records.ListTaskRecords(ListTaskRecordsRequest())).task_records:
        await client.records.FinishTaskRecord(FinishTaskRecordRequest(id=run.id, status=FAILED))
    assert (await make(client, record, unique_external_id=True)).id != made.id
    with refused(StatusCode.INVALID_ARGUMENT) as refusal:
        await make(client, TaskRecord(task_def_id=task_def.id), unique_external_id=True)
    assert refusal.fields == ["task_record.external_id"]


async def test_a_request_id_makes_one_run(client: Client) -> None:
    task_def = await define(client)
    record = TaskRecord(task_def_id=task_def.id, priority=1)
    request_id = str(uuid.uuid4())
    made = await asyncio.gather(*(make(client, record, request_id=request_id) for _ in range(8)))
    assert len({run.id for run in made}) == 1
    await start(client, made[0].id)
    again = await make(client, record, request_id=request_id.upper())
    assert again == await get(client, made[0].id)
    assert again.status == RUNNING
    assert len(await history(client, again.id)) == 2
    record.priority = 2
    with refused(StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED"):
        await make(client, record, request_id=request_id)
    with refused(StatusCode.INVALID_ARGUMENT) as refusal:
        await make(client, record, request_id="7")
    assert refusal.fields == ["request_id"]


async def test_a_refused_request_leaves_its_request_id_free(client: Client) -> None:
    task_def = await define(client, INPUTS)
    request_id = str(uuid.uuid4())
    bad = TaskRecord(task_def_id=task_def.id)
    with refused(StatusCode.INVALID_ARGUMENT):
        await make(client, bad, request_id=request_id)
    good = TaskRecord(task_def_id=task_def.id, input=struct({"target": "a"}))
    assert (await make(client, good, request_id=request_id)).status == PENDING


async def test_validate_only_checks_all_and_writes_nothing(client: Client) -> None:
    task_def = await define(client, INPUTS)
    record = TaskRecord(
        id="order-1",
        task_def_id=task_def.id,
        external_id="wms-1",
        input=struct({"target": "a"}),
    )
    would_be = await make(client, record, validate_only=True, unique_external_id=True)
    assert (would_be.id, would_be.status, would_be.seq) == ("order-1", PENDING, 1)
    assert MessageToDict(would_be.input) == {"target": "a", "speed": 1.5}
    with refused(StatusCode.NOT_FOUND):
        await get(client, "order-1")
    assert not (await client.records.ListTaskRecords(ListTaskRecordsRequest())).task_records
    await make(client, record)
    with refused(StatusCode.ALREADY_EXISTS):
        await make(client, record, validate_only=True)
    record.id, record.task_def_id = "order-2", "nowhere"
    with refused(StatusCode.NOT_FOUND):
        await make(client, record, validate_only=True)


async def test_runs_below_a_run_know_the_top(client: Client) -> None:
    top = await running(client)
    await report(client, top.id, block("a"))
    (place,) = await blocks_of(client, top.id)
    child = await create(
        client,
        top.task_def_id,
        parent_task_record_id=top.id,
        parent_block_record_id=place.id,
    )
    grandchild = await create(client, top.task_def_id, parent_task_record_id=child.id)
    assert (child.root_task_record_id, child.parent_block_record_id) == (top.id, place.id)
    assert (grandchild.parent_task_record_id, grandchild.root_task_record_id) == (child.id, top.id)


@pytest.mark.parametrize(
    ("parent", "code"),
    [
        ({"parent_task_record_id": "nowhere"}, StatusCode.NOT_FOUND),
        ({"parent_block_record_id": "nowhere"}, StatusCode.INVALID_ARGUMENT),
        (
            {"parent_task_record_id": "top", "parent_block_record_id": "nowhere"},
            StatusCode.NOT_FOUND,
        ),
    ],
)
async def test_a_parent_must_be_there(
    client: Client, parent: dict[str, str], code: StatusCode
) -> None:
    top = await create(client, id="top")
    with refused(code):
        await create(client, top.task_def_id, **parent)


async def test_a_parent_in_another_tenant_is_none(client: Client, target: str) -> None:
    async with connect(target, tenant=f"other-{uuid.uuid4().hex}", bare=True) as other:
        top = await create(other)
    with refused(StatusCode.NOT_FOUND):
        await create(client, parent_task_record_id=top.id)


async def test_only_runs_that_are_there_can_be_read(client: Client, target: str) -> None:
    run = await create(client)
    with refused(StatusCode.NOT_FOUND, "TASK_RECORD_NOT_FOUND") as refusal:
        await get(client, "nowhere")
    assert refusal.metadata["id"] == "nowhere"
    async with connect(target, tenant=f"other-{uuid.uuid4().hex}", bare=True) as other:
        with refused(StatusCode.NOT_FOUND):
            await get(other, run.id)
    assert await get(client, run.id) == run
