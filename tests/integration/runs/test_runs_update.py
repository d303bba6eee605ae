"""UpdateTaskRecord: labels, priority, external_id and pinned; whatever the status."""

from typing import Any

import pytest
from grpc import StatusCode
from vwed.v1.record_service_pb2 import ListTaskRecordsRequest, UpdateTaskRecordRequest
from vwed.v1.task_record_pb2 import TaskRecord

from tests.support.calls import finish_run
from tests.support.feeding import labelled
from tests.support.steps import create, everything, get, history, refused, running, struct
from vwed.client import Client, connect

GIVEN: dict[str, Any] = {
    "labels": {"zone": "a", "line": "1"},
    "priority": 3,
    "external_id": "WMS-1",
    "pinned": True,
}


async def update(
    client: Client, run: str, *mask: str, options: dict[str, Any] | None = None, **fields: Any
) -> TaskRecord:
    request = UpdateTaskRecordRequest(task_record=TaskRecord(id=run, **fields), **(options or {}))
    request.update_mask.paths.extend(mask)
    return await client.records.UpdateTaskRecord(request)


def mutable(run: TaskRecord) -> dict[str, Any]:
    return {
        "labels": dict(run.labels),
        "priority": run.priority,
        "external_id": run.external_id,
        "pinned": run.pinned,
    }


CHANGES: list[tuple[list[str], dict[str, Any], dict[str, Any]]] = [
    ([], {"priority": 7}, {"priority": 7}),
    ([], {"labels": {"zone": "b"}}, {"labels": {"zone": "b"}}),
    (["priority"], {"priority": 0, "external_id": "no"}, {"priority": 0}),
    (["labels", "pinned"], {}, {"labels": {}, "pinned": False}),
    (["external_id"], {"external_id": "WMS-2"}, {"external_id": "WMS-2"}),
    (
        ["*"],
        {"priority": -1},
        {"labels": {}, "priority": -1, "external_id": "", "pinned": False},
    ),
]


@pytest.mark.parametrize(("mask", "fields", "changed"), CHANGES)
async def test_the_mask_says_what_is_set(
    client: Client, mask: list[str], fields: dict[str, Any], changed: dict[str, Any]
) -> None:
    run = await create(client, **GIVEN)
    after = await update(client, run.id, *mask, options={"reason": "as agreed"}, **fields)
    assert mutable(after) == GIVEN | changed
    assert await get(client, run.id) == after
    assert (after.seq, after.status) == (2, run.status)
    assert (after.status_reason, after.status_actor) == (run.status_reason, run.status_actor)
    assert after.etag != run.etag
    event = (await history(client, run.id))[1]
    assert (event.actor, event.reason) == ("tester", "as agreed")
    assert mutable(event.task_record) == mutable(after)
    assert not event.task_record.HasField("input")


async def test_a_run_that_has_ended_can_be_updated(client: Client) -> None:
    begun = await running(client, input=struct({"to": "dock"}))
    run = await finish_run(client, begun.id, result=struct({"ok": True}))
    after = await update(client, run.id, pinned=True)
    assert (after.pinned, after.status, after.end_time) == (True, run.status, run.end_time)
    assert (after.input, after.result) == (run.input, run.result)
    told = [event.task_record for event in await history(client, run.id)]
    # Each payload is told by the change that set it, and by no other.
    assert [record.HasField("input") for record in told] == [True, False, False, False]
    assert [record.HasField("result") for record in told] == [False, False, True, False]


@pytest.mark.parametrize("mask", [[], ["*"], ["labels"]])
async def test_what_changes_nothing_writes_nothing(client: Client, mask: list[str]) -> None:
    run = await create(client, **GIVEN)
    before = await everything(client, run.id)
    assert await update(client, run.id, *mask, **GIVEN) == run
    assert await everything(client, run.id) == before


@pytest.mark.parametrize("path", ["status", "result", "message", "etag", "nothing", "labels.zone"])
async def test_nothing_else_can_be_set(client: Client, path: str) -> None:
    run = await create(client)
    with refused(StatusCode.INVALID_ARGUMENT):
        await update(client, run.id, path, priority=3)
    assert await get(client, run.id) == run


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"labels": {"Zone": "a"}}, 'task_record.labels["Zone"]'),
        ({"labels": {f"l{n}": "" for n in range(65)}}, "task_record.labels"),
        ({"labels": {"zone": "x" * 257}}, 'task_record.labels["zone"]'),
        ({"external_id": "x" * 257}, "task_record.external_id"),
    ],
)
async def test_limits_are_those_of_a_create(
    client: Client, fields: dict[str, Any], path: str
) -> None:
    run = await create(client, **GIVEN)
    with refused(StatusCode.INVALID_ARGUMENT) as refusal:
        await update(client, run.id, **fields)
    assert refusal.fields == [path]
    assert await get(client, run.id) == run


async def test_validate_only_answers_what_would_be(client: Client) -> None:
    run = await create(client, **GIVEN)
    before = await everything(client, run.id)
    after = await update(client, run.id, options={"validate_only": True}, priority=9)
    assert (after.priority, after.seq) == (9, 2)
    assert await everything(client, run.id) == before


async def test_labels_are_found_as_they_are_now(client: Client) -> None:
    run = await create(client, labels={"zone": "a"})
    await update(client, run.id, labels={"zone": "b"})
    for zone, found in (("a", []), ("b", [run.id])):
        request = ListTaskRecordsRequest(filter=labelled(zone=zone))
        answer = await client.records.ListTaskRecords(request)
        assert [r.id for r in answer.task_records] == found


async def test_a_run_of_another_tenant_is_none(client: Client, target: str) -> None:
    run = await create(client)
    async with connect(target, tenant="another", bare=True) as other:
        with refused(StatusCode.NOT_FOUND, "TASK_RECORD_NOT_FOUND"):
            await update(other, run.id, priority=1)


async def test_an_update_may_ask_for_a_unique_external_id(client: Client) -> None:
    unique = {"unique_external_id": True}
    holder, run = await create(client, external_id="order-1"), await create(client)
    before = await everything(client, run.id)
    with refused(StatusCode.ALREADY_EXISTS, "EXTERNAL_ID_TAKEN") as refusal:
        await update(client, run.id, options=unique, external_id="order-1")
    assert refusal.metadata["id"] == holder.id
    assert await everything(client, run.id) == before
    # Its own is no other's; who does not ask is not held against others; none cannot be unique.
    assert await update(client, holder.id, options=unique, external_id="order-1") == holder
    assert (await update(client, run.id, external_id="order-1")).external_id == "order-1"
    with refused(StatusCode.INVALID_ARGUMENT) as refusal:
        await update(client, run.id, "external_id", options=unique)
    assert refusal.fields == ["task_record.external_id"]
