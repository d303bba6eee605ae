"""What all verbs and updates do alike: etags, whole answers, and who did it and why."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from google.protobuf.message import Message
from vwed.v1 import record_service_pb2 as r
from vwed.v1 import task_def_service_pb2 as t
from vwed.v1.block_record_pb2 import BlockRecord
from vwed.v1.task_def_pb2 import TaskDef, TaskDefStatus
from vwed.v1.task_record_pb2 import TaskRecord
from vwed.v1.task_template_pb2 import TaskTemplate

from tests.integration.edge.test_bad_input import METHODS
from tests.support.calls import (
    create_def,
    create_run,
    delete_def,
    finish_run,
    json_object,
    set_entry,
    start_run,
    stub_of,
    update_def,
)
from tests.support.definition_calls import create_template, delete_template
from tests.support.refusals import refusal
from tests.support.steps import get, history, report
from tests.support.stored import stored
from vwed.client import Client
from vwed_grpc.domain.lifecycle import FAILED, SUCCEEDED

CONFIG = json_object(speed=1)


async def defined(client: Client, **given: Any) -> TaskDef:
    return await create_def(client, config=CONFIG, **given)


async def draft(client: Client) -> TaskDef:
    return await defined(client, status=TaskDefStatus.TASK_DEF_STATUS_DRAFT)


async def in_two_versions(client: Client) -> TaskDef:
    return await update_def(client, TaskDef(id=(await defined(client)).id, description="second"))


async def deleted(client: Client) -> TaskDef:
    return await delete_def(client, (await defined(client)).id)


async def template(client: Client) -> TaskTemplate:
    return await create_template(client, config=CONFIG, parameters_schema=json_object(title="x"))


async def deleted_template(client: Client) -> TaskTemplate:
    return await delete_template(client, (await template(client)).id)


async def pending(client: Client) -> TaskRecord:
    return await create_run(client, (await defined(client)).id, input=json_object(to="A1"))


async def held(client: Client) -> TaskRecord:
    return await start_run(client, (await pending(client)).id)


async def paused(client: Client) -> TaskRecord:
    request = r.PauseTaskRecordRequest(id=(await held(client)).id)
    return await client.records.PauseTaskRecord(request)


async def failed(client: Client) -> TaskRecord:
    return await finish_run(client, (await held(client)).id, FAILED)


Before = Callable[[Client], Awaitable[Any]]
VERBS: dict[str, tuple[Before, Message]] = {
    message.DESCRIPTOR.name.removesuffix("Request"): (before, message)
    for before, message in (
        (defined, t.UpdateTaskDefRequest(task_def=TaskDef(description="new"))),
        (defined, t.DeleteTaskDefRequest()),
        (deleted, t.UndeleteTaskDefRequest()),
        (draft, t.EnableTaskDefRequest()),
        (defined, t.DisableTaskDefRequest()),
        (in_two_versions, t.RollbackTaskDefRequest(version=1)),
        (template, t.UpdateTaskTemplateRequest(task_template=TaskTemplate(description="new"))),
        (template, t.DeleteTaskTemplateRequest()),
        (deleted_template, t.UndeleteTaskTemplateRequest()),
        (held, r.UpdateTaskRecordRequest(task_record=TaskRecord(priority=9))),
        (failed, r.DeleteTaskRecordRequest()),
        (pending, r.StartTaskRecordRequest(executor_id="robot-1")),
        (held, r.HeartbeatTaskRecordRequest(message="here")),
        (held, r.ReleaseTaskRecordRequest(executor_id="robot-1", lease_epoch=1)),
        (held, r.PauseTaskRecordRequest()),
        (paused, r.ResumeTaskRecordRequest()),
        (held, r.CancelTaskRecordRequest()),
        (held, r.FinishTaskRecordRequest(status=SUCCEEDED)),
        (failed, r.RetryTaskRecordRequest()),
        (held, r.SignalTaskRecordRequest(name="go")),
    )
}
"""What there is before, and the request without saying of what."""
KEEP_THE_ETAG = {"HeartbeatTaskRecord", "SignalTaskRecord", "RetryTaskRecord"}
"""What they change is no part of the run's content."""


def resource_of(request: Any) -> Any:
    """Where a request has the id and the etag."""
    for name in ("task_def", "task_template", "task_record"):
        if name in request.DESCRIPTOR.fields_by_name:
            return getattr(request, name)
    return request


def test_every_verb_is_known() -> None:
    with_etag = {
        name
        for name, method in METHODS.items()
        if "etag" in method.input_type.fields_by_name or name.startswith("Update")
    }
    assert VERBS.keys() == with_etag


async def asked(client: Client, name: str, etag: str = "") -> tuple[Any, Any]:
    """What there is, and a request about it."""
    before, like = VERBS[name]
    there = await before(client)
    request: Any = type(like)()
    request.CopyFrom(like)
    of = resource_of(request)
    of.id, of.etag = there.id, etag or there.etag
    return there, request


@pytest.mark.parametrize("name", VERBS)
async def test_an_etag_is_compared_each_time(
    client: Client, database_url: str, tenant: str, name: str
) -> None:
    there, request = await asked(client, name, etag="another")
    with stored(database_url, tenant) as look:
        before = look()
        refused = await refusal(stub_of(client, request)(request))
        assert (refused.code, refused.reason) == ("ABORTED", "ETAG_MISMATCH")
        assert look() == before
    resource_of(request).etag = there.etag
    await stub_of(client, request)(request)
    if name not in KEEP_THE_ETAG:
        # Also what it asked for has happened: an etag wins over idempotency.
        refused = await refusal(stub_of(client, request)(request))
        gone = "NOT_FOUND" if name == "DeleteTaskRecord" else "ABORTED"
        assert refused.code == gone


@pytest.mark.parametrize("name", [n for n in VERBS if n != "DeleteTaskRecord"])
async def test_the_answer_is_the_whole_resource(client: Client, name: str) -> None:
    _, request = await asked(client, name)
    answer = await stub_of(client, request)(request)
    for field in answer.DESCRIPTOR.fields:
        if field.message_type and field.message_type.name == "Struct" and field.name != "result":
            assert answer.HasField(field.name), field.name
            assert getattr(answer, field.name).fields, field.name


TOLD = [
    name
    for name, method in METHODS.items()
    if "reason" in method.input_type.fields_by_name and method.output_type is TaskRecord.DESCRIPTOR
]


@pytest.mark.parametrize("name", TOLD)
async def test_an_event_says_who_and_why(client: Client, name: str) -> None:
    if name == "CreateTaskRecord":
        of = TaskRecord(task_def_id=(await defined(client)).id)
        there, request = of, r.CreateTaskRecordRequest(task_record=of)
    else:
        there, request = await asked(client, name)
    request.reason = "as agreed"
    answer = await stub_of(client, request)(request)
    event = (await history(client, answer.id))[-1]
    assert (event.actor, event.reason) == ("tester", "as agreed")
    if answer.id != there.id:
        assert answer.created_by == "tester"
    elif answer.status != there.status:
        assert (answer.status_actor, answer.status_reason) == ("tester", "as agreed")


@pytest.mark.parametrize(
    "name", [n for n in VERBS if METHODS[n].output_type is TaskRecord.DESCRIPTOR]
)
async def test_nothing_happens_to_the_runs_below_or_beside(client: Client, name: str) -> None:
    there, request = await asked(client, name)
    below = await create_run(client, there.task_def_id, parent_task_record_id=there.id)
    beside = await start_run(client, (await create_run(client, there.task_def_id)).id)
    await stub_of(client, request)(request)
    for other in (below, beside):
        assert await get(client, other.id, strong=True) == other


async def test_all_but_the_names_is_optional(client: Client) -> None:
    """What a definition and a template are called, what is run, which block, which key is set."""
    made = await create_def(client, "a name")
    assert await create_template(client, "a name")
    run = await start_run(client, (await create_run(client, made.id)).id)
    by_name = r.CreateTaskRecordRequest(task_record=TaskRecord(task_def_name="a name"))
    assert (await client.records.CreateTaskRecord(by_name)).task_def_id == made.id
    reported = await report(client, run.id, BlockRecord(block_id="b"))
    assert reported.block_records[0].attempt == 1
    assert (await set_entry(client, run.id, "k", bool_value=False)).key == "k"
