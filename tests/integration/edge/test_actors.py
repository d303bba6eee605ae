"""Who acts, in any script, and why: from the client to what is stored."""

import pytest
from google.protobuf.message import Message
from grpc import StatusCode
from vwed.v1.record_service_pb2 import (
    CancelTaskRecordRequest,
    ClaimTaskRecordsRequest,
    CreateTaskRecordRequest,
    DeleteTaskRecordRequest,
    FinishTaskRecordRequest,
    ListTaskRecordEventsRequest,
    PauseTaskRecordRequest,
    ReleaseTaskRecordRequest,
    ResumeTaskRecordRequest,
    RetryTaskRecordRequest,
    SignalTaskRecordRequest,
    StartTaskRecordRequest,
    UpdateTaskRecordRequest,
)
from vwed.v1.task_record_pb2 import TaskRecord

from tests.support.calls import stub_of
from tests.support.steps import create, define, history, refused
from vwed.client import Client, connect
from vwed_grpc.domain.lifecycle import FAILED


@pytest.mark.parametrize(
    "actor", ["wms", "operator Chen", "陈静", "José", "山田\u3000太郎", "🤖" * 128], ids=ascii
)
async def test_an_actor_is_kept_as_written(target: str, tenant: str, actor: str) -> None:
    async with connect(target, tenant=tenant, actor=actor) as client:
        created = await create(client)
        canceled = await client.records.CancelTaskRecord(CancelTaskRecordRequest(id=created.id))
        history = await client.records.ListTaskRecordEvents(
            ListTaskRecordEventsRequest(task_record_id=created.id)
        )
    assert (created.created_by, canceled.status_actor) == (actor, actor)
    assert [event.actor for event in history.events] == [actor, actor]


async def test_each_change_of_a_run_says_why(client: Client) -> None:
    def why(request: Message) -> str:
        return f"the reason of {request.DESCRIPTOR.name}"

    async def ask(request: Message) -> str:
        request.reason = why(request)  # type: ignore[attr-defined]  # all of these have one
        answer = await stub_of(client, request)(request)
        return getattr(answer, "id", "")

    task_def = (await define(client)).id
    made = CreateTaskRecordRequest(task_record=TaskRecord(task_def_id=task_def))
    run = await ask(made)
    changes: list[Message] = [
        StartTaskRecordRequest(id=run, executor_id="robot-1"),
        UpdateTaskRecordRequest(task_record=TaskRecord(id=run, pinned=True)),
        SignalTaskRecordRequest(id=run, name="skip_block"),
        PauseTaskRecordRequest(id=run),
        ResumeTaskRecordRequest(id=run),
        ReleaseTaskRecordRequest(id=run, executor_id="robot-1", lease_epoch=1),
        ClaimTaskRecordsRequest(executor_id="robot-2", include_interrupted=True),
        FinishTaskRecordRequest(id=run, status=FAILED),
    ]
    for change in changes:
        await ask(change)
    again = RetryTaskRecordRequest(id=run)
    retry = await ask(again)
    ends: list[Message] = [
        CancelTaskRecordRequest(id=retry),
        DeleteTaskRecordRequest(id=retry, force=True),
    ]
    for end in ends:
        await ask(end)
    told = [event.reason for event in await history(client, run)]
    assert told == [why(one) for one in (made, *changes)]
    told = [event.reason for event in await history(client, retry)]
    assert told == [why(one) for one in (again, *ends)]


@pytest.mark.parametrize(
    ("actor", "key"),
    [
        ("x" * 129, "x-vwed-actor"),
        ("陈" * 129, "x-vwed-actor-bin"),
        ("a\nb", "x-vwed-actor-bin"),
        ("陈\0", "x-vwed-actor-bin"),
        ("\udce9", "x-vwed-actor-bin"),  # what Python makes of an argument that is not UTF-8
    ],
    ids=ascii,
)
async def test_the_server_says_what_is_wrong_with_an_actor(
    target: str, tenant: str, actor: str, key: str
) -> None:
    async with connect(target, tenant=tenant, actor=actor) as client:
        with refused(StatusCode.INVALID_ARGUMENT) as refusal:
            await create(client)
    assert [*refusal.fields] == [key]


@pytest.mark.parametrize("tenant", ["工厂", "a\nb"], ids=ascii)
async def test_the_client_says_what_is_wrong_with_a_tenant(tenant: str) -> None:
    with pytest.raises(ValueError, match="no tenant has the id"):
        async with connect("127.0.0.1:1", tenant=tenant):
            pass


@pytest.mark.parametrize("token", ["工厂", "secret\nsecret"], ids=ascii)
async def test_the_client_says_what_is_wrong_with_a_token(token: str) -> None:
    with pytest.raises(ValueError, match="the token is not one line of ASCII"):
        async with connect("127.0.0.1:1", token=token):
            pass
    async with connect("127.0.0.1:1", token=lambda: token) as client:
        with pytest.raises(ValueError, match="the token is not one line of ASCII"):
            await create(client)
