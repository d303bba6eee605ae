"""request_id: the same request again changes nothing; validate_only: nothing is ever written."""

import asyncio
import uuid

import grpc
from vwed.v1.record_service_pb2 import CreateTaskRecordRequest, ListTaskRecordsRequest
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_def_service_pb2 import CreateTaskDefRequest, ListTaskDefsRequest
from vwed.v1.task_record_pb2 import TaskRecord

from tests.support.calls import create_def, delete_def, get_def, json_object, update_def
from tests.support.refusals import read_refusal, refusal
from tests.support.steps import sql
from vwed.client import Client, connect
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
