"""What a soft-deleted definition still does, and what it no longer does."""

from collections.abc import Awaitable
from typing import Any

import grpc
from vwed.v1.record_service_pb2 import (
    CreateTaskRecordRequest,
    GetTaskRecordRequest,
    ListTaskRecordsRequest,
    RetryTaskRecordRequest,
)
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_def_service_pb2 import ListTaskDefsRequest
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordFilter

from tests.integration.edge.test_bad_input import METHODS
from tests.support.calls import (
    create_def,
    create_run,
    delete_def,
    finish_run,
    get_def,
    start_run,
    stub_of,
    update_def,
)
from tests.support.definition_calls import create_template, delete_template
from tests.support.refusals import read_refusal, refusal
from tests.support.valid_requests import DEF, TEMPLATE, VALID
from vwed.client import Client
from vwed_grpc.domain.lifecycle import FAILED


async def test_delete_answers_the_definition_with_its_delete_time(client: Client) -> None:
    made = await create_def(client)
    gone = await delete_def(client, made.id, etag=made.etag)
    assert gone.delete_time == gone.update_time
    assert gone.etag != made.etag
    for message in (gone, made):
        for changed in ("delete_time", "update_time", "etag"):
            message.ClearField(changed)
    assert gone == made


async def test_get_still_answers_also_at_a_version(client: Client) -> None:
    made = await create_def(client)
    updated = await update_def(client, TaskDef(id=made.id, description="second"))
    assert await get_def(client, made.id) == updated
    gone = await delete_def(client, made.id)
    assert await get_def(client, made.id) == gone
    first = await get_def(client, made.id, 1)
    assert first.description == ""
    assert not first.HasField("delete_time")


async def test_lists_have_it_only_if_asked(client: Client) -> None:
    kept, gone = await create_def(client, "kept"), await create_def(client, "gone")
    await delete_def(client, gone.id)
    for show_deleted, ids in ((False, [kept.id]), (True, [kept.id, gone.id])):
        listed = await client.definitions.ListTaskDefs(
            ListTaskDefsRequest(show_deleted=show_deleted, include_total=True)
        )
        assert [task_def.id for task_def in listed.task_defs] == ids
        assert listed.total_size == len(ids)


async def test_its_name_is_free_and_its_id_stays_taken(client: Client) -> None:
    gone = await create_def(client, "pick", id="pick-1")
    await delete_def(client, gone.id)
    again = await create_def(client, "pick", id="pick-2")
    await delete_def(client, again.id)
    assert (await create_def(client, "pick")).name == "pick"
    refused = await refusal(create_def(client, "other", id="pick-1"))
    assert (refused.code, refused.reason) == ("ALREADY_EXISTS", "ID_TAKEN")


WORKS = {
    *("GetTaskDef", "BatchGetTaskDefs", "ListTaskDefVersions", "DiffTaskDefVersions"),
    *("GetTaskTemplate", "ListTaskTemplateVersions"),
    *("UndeleteTaskDef", "UndeleteTaskTemplate"),
}


async def test_reading_and_undelete_alone_work_on_what_is_deleted(client: Client) -> None:
    await create_def(client, "def", id=DEF)
    await update_def(client, TaskDef(id=DEF, description="second"))
    await create_template(client, "template", id=TEMPLATE)
    run = await create_run(client, DEF)
    await finish_run(client, run.id, FAILED)
    await delete_def(client, DEF)
    await delete_template(client, TEMPLATE)
    about = {
        name: _request_about_it(name)
        for name, method in METHODS.items()
        if method.containing_service.name == "TaskDefService"
        and ({"id", "ids"} & {*method.input_type.fields_by_name} or name.startswith("Update"))
    }
    codes = dict[str, str]()
    for name, request in about.items():
        if not name.startswith("Undelete"):
            codes[name] = await _code_of(stub_of(client, request)(request))
    for call in (
        delete_def(client, DEF, force=True),
        update_def(client, TaskDef(id=DEF, name="def")),  # would change nothing
        create_run(client, DEF),
        client.records.RetryTaskRecord(RetryTaskRecordRequest(id=run.id)),
    ):
        assert (await refusal(call)).code == "FAILED_PRECONDITION"
    by_name = CreateTaskRecordRequest(task_record=TaskRecord(task_def_name="def"))
    assert (await refusal(client.records.CreateTaskRecord(by_name))).code == "NOT_FOUND"
    for name in ("UndeleteTaskDef", "UndeleteTaskTemplate"):
        codes[name] = await _code_of(stub_of(client, about[name])(about[name]))
    assert codes == {name: "OK" if name in WORKS else "FAILED_PRECONDITION" for name in about}
    assert len(codes) > len(WORKS)


async def _code_of(call: Awaitable[Any]) -> str:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        refused = read_refusal(error)
        assert refused.reason in {"TASK_DEF_DELETED", "TASK_TEMPLATE_DELETED"}
        return refused.code
    return "OK"


def _request_about_it(name: str) -> Any:
    request: Any = type(VALID[name])()
    request.CopyFrom(VALID[name])
    if "Template" in name and not name.startswith(("Update", "Instantiate")):
        request.id = TEMPLATE
    return request


async def test_an_etag_is_compared(client: Client) -> None:
    made = await create_def(client)
    refused = await refusal(delete_def(client, made.id, etag="another"))
    assert (refused.code, refused.reason) == ("ABORTED", "ETAG_MISMATCH")
    assert not (await get_def(client, made.id)).HasField("delete_time")


async def test_what_is_not_there_is_not_found(client: Client) -> None:
    assert (await refusal(delete_def(client, "nowhere"))).code == "NOT_FOUND"


async def test_open_runs_need_force_and_are_not_touched(client: Client) -> None:
    made = await create_def(client)
    pending, running = await create_run(client, made.id), await create_run(client, made.id)
    running = await start_run(client, running.id)
    ended = await create_run(client, made.id)
    await start_run(client, ended.id)
    ended = await finish_run(client, ended.id)
    refused = await refusal(delete_def(client, made.id))
    assert refused.code == "FAILED_PRECONDITION"
    assert not (await get_def(client, made.id)).HasField("delete_time")

    await delete_def(client, made.id, force=True)
    for run in (pending, running, ended):
        assert await client.records.GetTaskRecord(GetTaskRecordRequest(id=run.id)) == run
    listed = await client.records.ListTaskRecords(
        ListTaskRecordsRequest(filter=TaskRecordFilter(task_def_ids=[made.id]))
    )
    assert len(listed.task_records) == 3
    await start_run(client, pending.id)
    await finish_run(client, running.id)


async def test_ended_runs_need_no_force(client: Client) -> None:
    made = await create_def(client)
    run = await create_run(client, made.id)
    await start_run(client, run.id)
    await finish_run(client, run.id)
    assert (await delete_def(client, made.id)).HasField("delete_time")
