"""The status verbs of a definition, undeleting, and reading many at once."""

from collections.abc import Awaitable
from typing import Any

import pytest
from vwed.v1.common_pb2 import View
from vwed.v1.task_def_pb2 import TaskDef, TaskDefStatus
from vwed.v1.task_def_service_pb2 import (
    BatchGetTaskDefsRequest,
    DisableTaskDefRequest,
    EnableTaskDefRequest,
    UndeleteTaskDefRequest,
)

from tests.support.calls import (
    create_def,
    create_run,
    create_whole_def,
    delete_def,
    get_def,
    json_object,
    start_run,
    update_def,
)
from tests.support.definition_calls import rollback, versions_of
from tests.support.refusals import refusal
from vwed.client import Client

DRAFT = TaskDefStatus.TASK_DEF_STATUS_DRAFT
ENABLED = TaskDefStatus.TASK_DEF_STATUS_ENABLED
DISABLED = TaskDefStatus.TASK_DEF_STATUS_DISABLED


def enable(client: Client, id_: str, **given: Any) -> Awaitable[TaskDef]:
    return client.definitions.EnableTaskDef(EnableTaskDefRequest(id=id_, **given))


def disable(client: Client, id_: str, **given: Any) -> Awaitable[TaskDef]:
    return client.definitions.DisableTaskDef(DisableTaskDefRequest(id=id_, **given))


def undelete(client: Client, id_: str, **given: Any) -> Awaitable[TaskDef]:
    return client.definitions.UndeleteTaskDef(UndeleteTaskDefRequest(id=id_, **given))


def without(message: TaskDef, *fields: str) -> TaskDef:
    copy = TaskDef()
    copy.CopyFrom(message)
    for field in fields:
        copy.ClearField(field)  # type: ignore[arg-type]  # any field's name
    return copy


async def in_status(client: Client, status: TaskDefStatus.ValueType) -> TaskDef:
    made = await create_def(client, status=DRAFT if status == DRAFT else ENABLED)
    return await disable(client, made.id) if status == DISABLED else made


@pytest.mark.parametrize(
    ("status", "verb", "becomes"),
    [
        (DRAFT, enable, ENABLED),
        (DRAFT, disable, None),
        (ENABLED, enable, ENABLED),
        (ENABLED, disable, DISABLED),
        (DISABLED, enable, ENABLED),
        (DISABLED, disable, DISABLED),
    ],
)
async def test_the_table_of_statuses(
    client: Client,
    status: TaskDefStatus.ValueType,
    verb: Any,
    becomes: TaskDefStatus.ValueType | None,
) -> None:
    made = await in_status(client, status)
    if becomes is None:
        refused = await refusal(verb(client, made.id))
        assert (refused.code, refused.reason) == ("FAILED_PRECONDITION", "ILLEGAL_TRANSITION")
        assert refused.metadata == {
            "from": TaskDefStatus.Name(status),
            "to": TaskDefStatus.Name(DISABLED),
        }
        assert await get_def(client, made.id) == made
        return
    answer = await verb(client, made.id, etag=made.etag, reason="why")
    assert answer == await get_def(client, made.id)
    assert (answer.status, answer.version) == (becomes, 1)
    if becomes == status:
        assert answer == made
    else:
        assert answer.etag != made.etag
        left = ("status", "etag", "update_time")
        assert without(answer, *left) == without(made, *left)
    assert len(await versions_of(client, made.id)) == 1


@pytest.mark.parametrize("status", [DRAFT, DISABLED])
async def test_runs_are_made_of_what_is_enabled_alone(
    client: Client, status: TaskDefStatus.ValueType
) -> None:
    made = await in_status(client, status)
    assert (await refusal(create_run(client, made.id))).code == "FAILED_PRECONDITION"
    await enable(client, made.id)
    run = await create_run(client, made.id)
    await disable(client, made.id)
    assert (await start_run(client, run.id)).id == run.id  # open runs go on


async def test_what_is_not_enabled_can_be_changed_and_stays_so(client: Client) -> None:
    for status in (DRAFT, DISABLED):
        made = await in_status(client, status)
        updated = await update_def(client, TaskDef(id=made.id, name=f"now {status}"))
        assert (updated.status, updated.version) == (status, 2)
        assert (await rollback(client, made.id, 1)).status == status
        await delete_def(client, made.id)
        assert (await undelete(client, made.id)).status == status
        await delete_def(client, made.id)


@pytest.mark.parametrize("verb", [enable, disable])
async def test_verbs_compare_the_etag_and_need_what_is_live(client: Client, verb: Any) -> None:
    made = await create_def(client)
    assert (await refusal(verb(client, made.id, etag="another"))).reason == "ETAG_MISMATCH"
    assert (await refusal(verb(client, "nowhere"))).code == "NOT_FOUND"
    gone = await delete_def(client, made.id)
    refused = await refusal(verb(client, made.id))
    assert (refused.code, refused.reason) == ("FAILED_PRECONDITION", "TASK_DEF_DELETED")
    assert await get_def(client, made.id) == gone


async def test_undelete_brings_back_all_that_was(client: Client) -> None:
    made = await create_whole_def(client)
    gone = await delete_def(client, made.id)
    back = await undelete(client, made.id, etag=gone.etag, reason="by mistake")
    assert back == await get_def(client, made.id)
    assert without(back, "etag", "update_time") == without(made, "etag", "update_time")
    assert back.etag not in {made.etag, gone.etag}
    assert (await create_run(client, made.id)).task_def_version == 1
    assert (await refusal(create_def(client, made.name))).reason == "NAME_TAKEN"


async def test_undelete_is_refused(client: Client) -> None:
    gone = await create_def(client, "pick")
    refused = await refusal(undelete(client, gone.id))
    assert (refused.code, refused.reason) == ("ALREADY_EXISTS", "TASK_DEF_NOT_DELETED")
    gone = await delete_def(client, gone.id)
    assert (await refusal(undelete(client, gone.id, etag="another"))).code == "ABORTED"
    await create_def(client, "pick")
    refused = await refusal(undelete(client, gone.id))
    assert (refused.code, refused.reason) == ("ALREADY_EXISTS", "NAME_TAKEN")
    assert (await refusal(undelete(client, "nowhere"))).code == "NOT_FOUND"
    assert await get_def(client, gone.id) == gone


async def test_many_are_read_in_the_order_of_the_request(client: Client) -> None:
    made = {id_: await create_def(client, id_, id=id_) for id_ in ("a", "b", "c")}
    made["b"] = await delete_def(client, "b")  # read as Get reads it
    request = BatchGetTaskDefsRequest(ids=["c", "a", "b", "a"], view=View.VIEW_FULL)
    answer = await client.definitions.BatchGetTaskDefs(request)
    assert list(answer.task_defs) == [made[id_] for id_ in request.ids]
    request.view = View.VIEW_UNSPECIFIED
    basic = await client.definitions.BatchGetTaskDefs(request)
    assert list(basic.task_defs) == [without(made[id_], "config") for id_ in request.ids]


async def test_many_are_read_all_or_not_at_all(client: Client) -> None:
    await create_def(client, id="a")
    refused = await refusal(
        client.definitions.BatchGetTaskDefs(BatchGetTaskDefsRequest(ids=["a", "nowhere"]))
    )
    assert (refused.code, refused.reason) == ("NOT_FOUND", "TASK_DEF_NOT_FOUND")
    assert refused.metadata == {"id": "nowhere"}


async def test_many_that_no_answer_holds_are_refused(client: Client) -> None:
    ids = [f"large-{n}" for n in range(5)]
    for id_ in ids:
        await create_def(client, id_, id=id_, config=json_object(text="x" * 1_000_000))
    request = BatchGetTaskDefsRequest(ids=ids, view=View.VIEW_FULL)
    refused = await refusal(client.definitions.BatchGetTaskDefs(request))
    assert (refused.code, refused.reason) == ("RESOURCE_EXHAUSTED", "RESPONSE_TOO_LARGE")
    request.ids.pop()
    assert len((await client.definitions.BatchGetTaskDefs(request)).task_defs) == 4
