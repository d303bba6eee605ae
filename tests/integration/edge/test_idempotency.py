"""request_id: the same request again changes nothing; validate_only: nothing is ever written."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from vwed.v1.data_cache_pb2 import DataCache
from vwed.v1.record_service_pb2 import (
    ClaimTaskRecordsResponse,
    CreateTaskRecordRequest,
    ListTaskRecordsRequest,
    UpdateTaskRecordRequest,
)
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_def_service_pb2 import CreateTaskDefRequest, ListTaskDefsRequest
from vwed.v1.task_record_pb2 import TaskRecord
from vwed.v1.task_template_pb2 import TaskTemplate

from tests.integration.edge.test_bad_input import METHODS
from tests.support.calls import (
    create_def,
    create_run,
    delete_def,
    finish_run,
    get_def,
    json_object,
    set_entry,
    stub_of,
    update_def,
)
from tests.support.definition_calls import update_template
from tests.support.refusals import read_refusal, refusal
from tests.support.steps import sql
from tests.support.stored import stored
from tests.support.valid_requests import DEF
from tests.support.world import World
from vwed.client import Client, connect
from vwed_grpc.domain.lifecycle import FAILED
from vwed_grpc.storage import idempotency
from vwed_grpc.storage.connector import Connector
from vwed_grpc.storage.pool import Pool
from vwed_grpc.storage.transaction import Transaction


def request_for(name: str, request_id: str, **options: bool) -> CreateTaskDefRequest:
    labels = {f"label-{n}": str(n) for n in range(20)}  # whose order on the wire is not fixed
    config = json_object(**{f"key-{n}": n for n in range(20)})
    task_def = TaskDef(name=name, labels=labels, config=config)
    return CreateTaskDefRequest(task_def=task_def, request_id=request_id, **options)


async def names(client: Client) -> list[str]:
    listed = await client.definitions.ListTaskDefs(ListTaskDefsRequest())
    return [task_def.name for task_def in listed.task_defs]


async def test_the_same_request_again_answers_the_present_state(client: Client) -> None:
    request_id = str(uuid.uuid4())
    made = await client.definitions.CreateTaskDef(request_for("pick", request_id))
    assert await client.definitions.CreateTaskDef(request_for("pick", request_id)) == made
    updated = await update_def(client, TaskDef(id=made.id, name="renamed"))
    assert await client.definitions.CreateTaskDef(request_for("pick", request_id)) == updated
    gone = await delete_def(client, made.id)
    assert await client.definitions.CreateTaskDef(request_for("pick", request_id)) == gone
    assert await names(client) == []


async def test_a_request_id_is_a_uuid_in_either_case(client: Client) -> None:
    request_id = str(uuid.uuid4())
    made = await client.definitions.CreateTaskDef(request_for("pick", request_id))
    again = await client.definitions.CreateTaskDef(request_for("pick", request_id.upper()))
    assert again == made


async def test_another_request_under_the_same_id_is_refused(client: Client) -> None:
    request_id = str(uuid.uuid4())
    task_def = await client.definitions.CreateTaskDef(request_for("pick", request_id))
    refused = await refusal(client.definitions.CreateTaskDef(request_for("place", request_id)))
    assert (refused.code, refused.reason) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")
    another_method = CreateTaskRecordRequest(
        task_record=TaskRecord(task_def_id=task_def.id), request_id=request_id
    )
    refused = await refusal(client.records.CreateTaskRecord(another_method))
    assert (refused.code, refused.reason) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")
    assert await names(client) == ["pick"]
    listed = await client.records.ListTaskRecords(ListTaskRecordsRequest())
    assert not listed.task_records


async def test_duplicates_at_once_make_one(client: Client) -> None:
    request_id = str(uuid.uuid4())
    answers = await asyncio.gather(
        *(client.definitions.CreateTaskDef(request_for("pick", request_id)) for _ in range(16))
    )
    assert all(answer == answers[0] for answer in answers)
    assert await names(client) == ["pick"]


async def test_without_a_request_id_duplicates_at_once_race_for_the_name(client: Client) -> None:
    answers = await asyncio.gather(
        *(create_def(client, "pick") for _ in range(8)), return_exceptions=True
    )
    lost = [answer for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    assert {read_refusal(error).reason for error in lost} == {"NAME_TAKEN"}
    assert len(lost) == 7
    assert await names(client) == ["pick"]


async def test_a_request_that_failed_does_not_take_its_id(client: Client) -> None:
    request_id = str(uuid.uuid4())
    other = await create_def(client, "pick")
    refused = await refusal(client.definitions.CreateTaskDef(request_for("pick", request_id)))
    assert refused.reason == "NAME_TAKEN"
    await delete_def(client, other.id)
    made = await client.definitions.CreateTaskDef(request_for("pick", request_id))
    assert made.id != other.id


async def test_each_tenant_has_its_own_request_ids(
    client: Client, target: str, tenant: str
) -> None:
    request_id = str(uuid.uuid4())
    mine = await client.definitions.CreateTaskDef(request_for("pick", request_id))
    async with connect(target, tenant=f"{tenant}-2", bare=True) as other:
        theirs = await other.definitions.CreateTaskDef(request_for("place", request_id))
    assert theirs.id != mine.id


async def test_a_run_is_created_once(client: Client) -> None:
    task_def = await create_def(client)
    request = CreateTaskRecordRequest(
        task_record=TaskRecord(task_def_id=task_def.id), request_id=str(uuid.uuid4())
    )
    answers = await asyncio.gather(*(client.records.CreateTaskRecord(request) for _ in range(4)))
    assert len({run.id for run in answers}) == 1
    listed = await client.records.ListTaskRecords(ListTaskRecordsRequest(include_total=True))
    assert listed.total_size == 1


async def test_what_has_expired_is_forgotten_and_nothing_else(
    client: Client, tenant: str, database_url: str
) -> None:
    old, young = str(uuid.uuid4()), str(uuid.uuid4())
    made = [await client.definitions.CreateTaskDef(request_for(id_, id_)) for id_ in (old, young)]
    await sql(
        database_url,
        "UPDATE idempotency_keys SET expire_time = now() - interval '1 s'"
        " WHERE tenant = :tenant AND request_id = :old RETURNING 1",
        tenant=tenant,
        old=old,
    )

    async def sweep(tx: Transaction) -> int:
        return await idempotency.sweep(tx, tenant, 100)

    pool = Pool(Connector(database_url), connections=1)
    try:
        assert [await pool.run(sweep), await pool.run(sweep)] == [1, 0]
    finally:
        await pool.close()
    again = await refusal(client.definitions.CreateTaskDef(request_for(old, old)))
    assert (again.code, again.reason) == ("ALREADY_EXISTS", "NAME_TAKEN")
    assert await client.definitions.CreateTaskDef(request_for(young, young)) == made[1]


async def test_validate_only_answers_what_would_be_and_writes_nothing(client: Client) -> None:
    request = request_for("pick", str(uuid.uuid4()), validate_only=True)
    answer = await client.definitions.CreateTaskDef(request)
    assert (answer.name, answer.version, answer.created_by) == ("pick", 1, "tester")
    assert answer.id
    assert answer.etag
    assert answer.HasField("create_time")
    assert await names(client) == []
    assert (await refusal(get_def(client, answer.id))).code == "NOT_FOUND"
    # Not even its request_id was taken.
    request.validate_only = False
    assert (await client.definitions.CreateTaskDef(request)).name == "pick"


async def test_validate_only_makes_every_check(client: Client) -> None:
    await create_def(client, "taken", id="taken-id")
    for task_def, code in (
        (TaskDef(name="taken"), "ALREADY_EXISTS"),
        (TaskDef(name="free", id="taken-id"), "ALREADY_EXISTS"),
        (TaskDef(name="free", config=json_object(blocks=1)), "INVALID_ARGUMENT"),
    ):
        request = CreateTaskDefRequest(task_def=task_def, validate_only=True)
        assert (await refusal(client.definitions.CreateTaskDef(request))).code == code
    record = TaskRecord(task_def_id="taken-id")
    run = await client.records.CreateTaskRecord(
        CreateTaskRecordRequest(task_record=record, validate_only=True)
    )
    assert run.task_def_name == "taken"
    listed = await client.records.ListTaskRecords(ListTaskRecordsRequest())
    assert not listed.task_records


async def test_validate_only_answers_a_known_request_id_as_the_real_call_would(
    client: Client,
) -> None:
    request_id = str(uuid.uuid4())
    made = await client.definitions.CreateTaskDef(request_for("pick", request_id))
    trial = request_for("pick", request_id, validate_only=True)
    assert await client.definitions.CreateTaskDef(trial) == made
    other = request_for("place", request_id, validate_only=True)
    refused = await refusal(client.definitions.CreateTaskDef(other))
    assert (refused.code, refused.reason) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")
    assert await names(client) == ["pick"]


def with_field(field: str) -> list[str]:
    return [name for name, m in METHODS.items() if field in m.input_type.fields_by_name]


@pytest.fixture(scope="module")
async def world(target: str) -> AsyncIterator[World]:
    tenant = f"t-{uuid.uuid4().hex[:12]}"
    async with (
        grpc.aio.insecure_channel(target) as channel,
        connect(target, tenant=tenant, actor="tester", bare=True) as client,
    ):
        world = World(channel, client, tenant)
        await world.fill()
        yield world


async def base(world: World, name: str) -> Any:
    """A good request, and something for it to claim."""
    if name == "ClaimTaskRecords":
        await create_run(world.client, DEF)
    return await world.base(METHODS[name])


def changed(request: Any) -> Any:
    """Another request."""
    other = type(request)()
    other.CopyFrom(request)
    for field in ("task_def", "task_template", "task_record"):
        if field in other.DESCRIPTOR.fields_by_name:
            getattr(other, field).labels["another"] = "1"
            return other
    if "reason" in other.DESCRIPTOR.fields_by_name:
        other.reason = "another"
    else:
        other.int_delta += 1
    return other


async def age(database_url: str, request_id: str, interval: str) -> None:
    """As if the request had come earlier. No other, for a duty may sweep what has expired."""
    await sql(
        database_url,
        f"UPDATE idempotency_keys SET expire_time = expire_time - interval '{interval}'"
        " WHERE request_id = :id RETURNING request_id",
        id=request_id,
    )


async def touched(client: Client, made: Any) -> Any:
    """What was made, after something else has changed it."""
    match made:
        case TaskDef():
            return await update_def(client, TaskDef(id=made.id, description="touched"))
        case TaskTemplate():
            return await update_template(client, TaskTemplate(id=made.id, description="touched"))
        case TaskRecord():
            changed = TaskRecord(id=made.id, priority=made.priority + 1)
            request = UpdateTaskRecordRequest(task_record=changed)
            return await client.records.UpdateTaskRecord(request)
        case DataCache():
            return await set_entry(client, made.task_record_id, made.key, int_value=77)
    runs = [await touched(client, run) for run in made.task_records]
    return ClaimTaskRecordsResponse(task_records=runs)


@pytest.mark.parametrize("name", with_field("request_id"))
async def test_a_request_is_known_for_24_hours(world: World, database_url: str, name: str) -> None:
    request = await base(world, name)
    request.request_id = str(uuid.uuid4())
    call = stub_of(world.client, request)
    present = await touched(world.client, await call(request))
    with stored(database_url, world.tenant) as look:
        await age(database_url, request.request_id, "23 h 59 min 30 s")
        before = look()
        assert await call(request) == present
        refused = await refusal(call(changed(request)))
        assert (refused.code, refused.reason) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")
        assert look() == before
    await age(database_url, request.request_id, "30 s")
    other = changed(request)
    for field, named in other.ListFields():
        if field.name.startswith("task_") and hasattr(named, "name"):
            named.name = world.new()
    if name == "ClaimTaskRecords":
        await create_run(world.client, DEF)
    elif name == "RetryTaskRecord":
        await finish_run(world.client, present.id, FAILED)
    assert await call(other) != present
    request.request_id = "no uuid"
    refused = await refusal(call(request))
    assert (refused.code, refused.fields) == ("INVALID_ARGUMENT", ["request_id"])


BY_CHANCE = ("id", "root_task_record_id", "etag", "create_time", "update_time")
"""What another try would have otherwise; an id unless it is given."""


def without_chance(answer: Any) -> Any:
    copy = type(answer)()
    copy.CopyFrom(answer)
    for field in BY_CHANCE:
        if field in copy.DESCRIPTOR.fields_by_name:
            copy.ClearField(field)
    return copy


@pytest.mark.parametrize("name", with_field("validate_only"))
async def test_validate_only_answers_what_the_call_would(
    world: World, database_url: str, name: str
) -> None:
    request = await base(world, name)
    repeatable = "request_id" in request.DESCRIPTOR.fields_by_name
    if repeatable:
        request.request_id = str(uuid.uuid4())
    call = stub_of(world.client, request)
    with stored(database_url, world.tenant) as look:
        before = look()
        request.validate_only = True
        would_be = await call(request)
        assert look() == before
        request.validate_only = False
        real = await call(request)
        before = look()
        assert without_chance(would_be) == without_chance(real)
        if repeatable:
            request.validate_only = True
            assert await call(request) == real
            refused = await refusal(call(changed(request)))
            assert (refused.code, refused.reason) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")
        assert look() == before
