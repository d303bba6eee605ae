"""What a soft-deleted definition still does, and what it no longer does."""

from vwed.v1.record_service_pb2 import (
    CreateTaskRecordRequest,
    GetTaskRecordRequest,
    ListTaskRecordsRequest,
)
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_def_service_pb2 import ListTaskDefsRequest
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordFilter

from tests.support.calls import (
    create_def,
    create_run,
    delete_def,
    finish_run,
    get_def,
    start_run,
    update_def,
)
from tests.support.refusals import refusal
from vwed.client import Client


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


async def test_nothing_but_get_and_undelete_works_on_it(client: Client) -> None:
    gone = await create_def(client)
    await delete_def(client, gone.id)
    for call in (
        update_def(client, TaskDef(id=gone.id, description="new")),
        update_def(client, TaskDef(id=gone.id, name=gone.name)),  # would change nothing
        delete_def(client, gone.id),
        delete_def(client, gone.id, force=True),
        create_run(client, gone.id),
    ):
        assert (await refusal(call)).code == "FAILED_PRECONDITION"
    by_name = CreateTaskRecordRequest(task_record=TaskRecord(task_def_name=gone.name))
    assert (await refusal(client.records.CreateTaskRecord(by_name))).code == "NOT_FOUND"


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
