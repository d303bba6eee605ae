"""The service's own errors, as a caller of the client meets them."""

from collections.abc import AsyncIterator

import pytest
from vwed.v1.record_service_pb2 import (
    CreateTaskRecordRequest,
    GetTaskRecordRequest,
    HeartbeatTaskRecordRequest,
    ResumeTaskRecordRequest,
)
from vwed.v1.task_record_pb2 import TaskRecord

from tests.support.steps import create, get, running, start
from vwed.client import (
    AlreadyExists,
    Client,
    IllegalTransition,
    InvalidArgument,
    LeaseLost,
    NotFound,
    RunTaken,
    connect,
)


@pytest.fixture
async def caller(target: str, tenant: str) -> AsyncIterator[Client]:
    async with connect(target, tenant=tenant) as client:
        yield client


async def test_what_is_not_there(caller: Client) -> None:
    with pytest.raises(NotFound) as refused:
        await caller.records.GetTaskRecord(
            GetTaskRecordRequest(id="nothing"), metadata=(("x-request-id", "r-1"),)
        )
    told = refused.value
    assert (told.reason, told.request_id) == ("TASK_RECORD_NOT_FOUND", "r-1")
    assert (told.fields, told.retry_after) == ({}, None)
    assert str(told).startswith("NOT_FOUND TASK_RECORD_NOT_FOUND: ")
    assert "nothing" in str(told)


async def test_what_is_wrong_with_a_request(caller: Client) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await create(caller, "not an id", priority=1, labels={"K": "v"})
    assert refused.value.reason == "INVALID_FIELD"
    assert set(refused.value.fields) == {"task_record.task_def_id", 'task_record.labels["K"]'}
    assert all(refused.value.fields.values())
    assert refused.value.request_id


async def test_who_holds_a_run_and_who_does_not(caller: Client) -> None:
    run = await running(caller)
    with pytest.raises(RunTaken):
        await start(caller, run.id, "robot-2")
    await start(caller, run.id)
    with pytest.raises(LeaseLost):
        await caller.records.HeartbeatTaskRecord(
            HeartbeatTaskRecordRequest(id=run.id, executor_id="robot-1", lease_epoch=1)
        )


async def test_what_the_status_does_not_allow(caller: Client) -> None:
    run = await create(caller)
    with pytest.raises(IllegalTransition) as refused:
        await caller.records.ResumeTaskRecord(ResumeTaskRecordRequest(id=run.id))
    assert refused.value.metadata == {
        "from": "TASK_RECORD_STATUS_PENDING",
        "to": "TASK_RECORD_STATUS_RUNNING",
    }


async def test_what_is_there_already(caller: Client) -> None:
    run = await create(caller)
    with pytest.raises(AlreadyExists) as refused:
        await create(caller, run.task_def_id, id=run.id)
    assert refused.value.reason == "ID_TAKEN"
    again = CreateTaskRecordRequest(
        task_record=TaskRecord(task_def_id=run.task_def_id),
        request_id="01234567-89ab-4cde-8f01-23456789abcd",
    )
    made = await caller.records.CreateTaskRecord(again)
    assert (await caller.records.CreateTaskRecord(again)).id == made.id, "the caller's own wins"
    assert (await get(caller, made.id)).id == made.id
