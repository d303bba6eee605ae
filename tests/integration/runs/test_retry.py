"""RetryTaskRecord: a new run for one that failed, from its start or from where it failed."""

import uuid

import pytest
from grpc import StatusCode
from vwed.v1.block_record_pb2 import BlockRecord, BlockRecordKey, BlockRecordStatus
from vwed.v1.record_service_pb2 import (
    DeleteTaskRecordRequest,
    RetryTaskRecordRequest,
    UpdateTaskRecordRequest,
)
from vwed.v1.task_def_pb2 import TaskDef
from vwed.v1.task_def_service_pb2 import DisableTaskDefRequest
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordStatus

from tests.support.calls import delete_def, finish_run, get_entry, set_entry, update_def
from tests.support.steps import (
    block,
    blocks_of,
    create,
    define,
    everything,
    get,
    history,
    refused,
    report,
    running,
    seconds,
    start,
    struct,
)
from tests.support.watching import watch_to_end
from vwed.client import Client

FAILED = TaskRecordStatus.TASK_RECORD_STATUS_FAILED
CANCELED = TaskRecordStatus.TASK_RECORD_STATUS_CANCELED
SUCCEEDED = TaskRecordStatus.TASK_RECORD_STATUS_SUCCEEDED
PENDING = TaskRecordStatus.TASK_RECORD_STATUS_PENDING
FROM_START = RetryTaskRecordRequest.MODE_FROM_START
FROM_FAILURE = RetryTaskRecordRequest.MODE_FROM_FAILURE
DONE = BlockRecordStatus.BLOCK_RECORD_STATUS_SUCCEEDED
SKIPPED = BlockRecordStatus.BLOCK_RECORD_STATUS_SKIPPED
BROKEN = BlockRecordStatus.BLOCK_RECORD_STATUS_FAILED
RUNNING = BlockRecordStatus.BLOCK_RECORD_STATUS_RUNNING
WAITING = BlockRecordStatus.BLOCK_RECORD_STATUS_PENDING


async def retry(
    client: Client,
    run: str,
    mode: RetryTaskRecordRequest.Mode.ValueType = RetryTaskRecordRequest.MODE_UNSPECIFIED,
    **fields: object,
) -> TaskRecord:
    request = RetryTaskRecordRequest(id=run, mode=mode, **fields)  # type: ignore[arg-type]  # any
    return await client.records.RetryTaskRecord(request)


async def broken(client: Client, *reports: BlockRecord) -> TaskRecord:
    """A run that failed after these reports."""
    run = await running(client)
    if reports:
        await report(client, run.id, *reports)
    return await finish_run(client, run.id, FAILED)


@pytest.mark.parametrize("mode", [RetryTaskRecordRequest.MODE_UNSPECIFIED, FROM_START])
async def test_from_start_the_run_is_new_and_inherits(
    client: Client, mode: RetryTaskRecordRequest.Mode.ValueType
) -> None:
    parent = await running(client)
    reported = await report(client, parent.id, block("a", RUNNING))
    given = {
        "priority": 7,
        "external_id": "order-1",
        "labels": {"zone": "A"},
        "input": struct({"to": "dock"}),
        "parent_task_record_id": parent.id,
        "parent_block_record_id": reported.block_records[0].id,
    }
    old = await running(client, **given)  # type: ignore[arg-type]  # fields of a TaskRecord
    await report(client, old.id, block("a", DONE))
    await set_entry(client, old.id, "k", int_value=1)
    await finish_run(client, old.id, FAILED, error_message="stuck", error_code="STUCK")

    new = await retry(client, old.id, mode, reason="again")
    assert new.id != old.id
    assert (new.status, new.attempt, new.retry_of) == (PENDING, 2, old.id)
    assert (new.task_def_id, new.task_def_version) == (old.task_def_id, old.task_def_version)
    for name, value in given.items():
        assert getattr(new, name) == value, name
    assert new.root_task_record_id == parent.id
    assert (new.error_code, new.error_message, new.executor_id) == ("", "", "")
    assert (new.lease_epoch, new.seq, new.block_counts.total, new.progress) == (0, 1, 2, 0)
    assert not new.HasField("start_time")
    assert await get(client, new.id) == new
    assert await blocks_of(client, new.id) == []
    (event,) = await history(client, new.id)
    assert (event.actor, event.reason, event.task_record.retry_of) == ("tester", "again", old.id)
    with refused(StatusCode.NOT_FOUND):
        await get_entry(client, new.id, "k")


async def test_from_failure_copies_what_was_done(client: Client) -> None:
    outer = block("outer", DONE, block_type="group", input_data={"n": 1}, output_data={"x": 2})
    inner = block("inner", DONE, iteration="0", output_data={"y": 3})
    inner.parent.CopyFrom(BlockRecordKey(block_id="outer"))
    under_failed = block("under", SKIPPED, name="left out")
    under_failed.parent.CopyFrom(BlockRecordKey(block_id="bad"))
    old = await broken(
        client,
        outer,
        inner,
        block("bad", BROKEN),
        under_failed,
        block("again", BROKEN),
        block("again", DONE, attempt=2),
        block("undone", DONE),
        block("undone", BROKEN, attempt=2),
        block("open", RUNNING),
    )
    before = {(b.block_id, b.attempt): b for b in await blocks_of(client, old.id)}
    new = await retry(client, old.id, FROM_FAILURE, reason="the door is open now")

    copies = await blocks_of(client, new.id)
    after = {(b.block_id, b.attempt): b for b in copies}
    assert set(after) == {("outer", 1), ("inner", 1), ("bad", 1), ("under", 1), ("again", 2)}
    for key, copy in after.items():
        source = before[key]
        if key == ("bad", 1):  # what stands above a copied block comes along, to be done again
            assert (copy.status, copy.HasField("end_time")) == (WAITING, False)
            continue
        assert copy.id != source.id
        assert copy.task_record_id == new.id
        for field in (
            "block_type", "status", "input_data", "output_data", "start_time", "end_time", "name",
            "iteration", "robot_id", "message", "error_message", "progress",
        ):  # fmt: skip
            assert getattr(copy, field) == getattr(source, field), (key, field)
    assert after["inner", 1].parent_block_record_id == after["outer", 1].id
    assert after["under", 1].parent_block_record_id == after["bad", 1].id

    assert (new.block_counts.succeeded, new.block_counts.skipped) == (3, 1)
    assert (new.block_counts.pending, new.block_counts.failed) == (1, 0)
    assert (new.block_counts.total, new.progress, new.seq) == (5, 0.8, 6)
    assert await get(client, new.id, strong=True) == new
    events = await history(client, new.id)
    assert [e.WhichOneof("change") for e in events] == ["task_record", *["block_record"] * 5]
    assert [e.block_record for e in events[1:]] == copies
    told_of = {(e.task_record_id, e.actor, e.reason) for e in events}
    assert told_of == {(new.id, events[0].actor, "the door is open now")}
    assert events[0].actor
    assert events[0].task_record.etag == new.etag
    assert [e.HasField("block_counts") for e in events[1:]] == [False, False, False, False, True]
    assert (events[-1].block_counts, events[-1].progress) == (new.block_counts, 0.8)


async def test_from_failure_it_inherits_the_same(client: Client) -> None:
    parent = await running(client)
    given = {
        "priority": 7,
        "external_id": "order-1",
        "labels": {"zone": "A"},
        "input": struct({"to": "dock"}),
        "parent_task_record_id": parent.id,
    }
    old = await running(client, **given)  # type: ignore[arg-type]  # fields of a TaskRecord
    await report(client, old.id, block("a", DONE))
    await finish_run(client, old.id, CANCELED)
    new = await retry(client, old.id, FROM_FAILURE)
    assert (new.status, new.attempt, new.retry_of) == (PENDING, 2, old.id)
    assert {name: getattr(new, name) for name in given} == given
    assert new.root_task_record_id == parent.id


async def test_from_failure_with_nothing_done(client: Client) -> None:
    old = await broken(client, block("a", BROKEN))
    new = await retry(client, old.id, FROM_FAILURE)
    assert (new.seq, new.block_counts.total, new.progress) == (1, 2, 0)


async def test_from_failure_copies_more_blocks_than_one_batch(client: Client) -> None:
    run = await running(client)
    for n in range(2):
        await report(client, run.id, *(block(f"b{n}-{k}", DONE) for k in range(300)))
    await finish_run(client, run.id, FAILED)
    new = await retry(client, run.id, FROM_FAILURE)
    assert (new.block_counts.succeeded, new.seq) == (600, 601)
    assert len(await blocks_of(client, new.id)) == 600
    await finish_run(client, new.id, FAILED)
    assert (await watch_to_end(client, new.id, after_seq=0)).seq == 602


async def test_from_failure_copies_the_data_cache_with_its_expirations(client: Client) -> None:
    old = await broken(client)
    kept = await set_entry(client, old.id, "kept", string_value="v")
    timed = await set_entry(client, old.id, "timed", int_value=3, ttl=seconds(600))
    new = await retry(client, old.id, FROM_FAILURE)
    copy = await get_entry(client, new.id, "kept")
    assert (copy.string_value, copy.HasField("expire_time")) == ("v", False)
    copy = await get_entry(client, new.id, "timed")
    assert (copy.int_value, copy.expire_time) == (3, timed.expire_time)
    assert copy.task_record_id == new.id
    await set_entry(client, new.id, "kept", string_value="other")
    assert await get_entry(client, old.id, "kept") == kept


async def test_a_retry_goes_on_and_can_be_retried(client: Client) -> None:
    old = await broken(client, block("a", DONE))
    new = await retry(client, old.id, FROM_FAILURE)
    await start(client, new.id)
    await report(client, new.id, block("a", DONE, attempt=2), block("b", DONE))
    ended = await finish_run(client, new.id, CANCELED)
    third = await retry(client, new.id, FROM_FAILURE)
    assert (third.attempt, third.retry_of) == (3, new.id)
    assert [(b.block_id, b.attempt) for b in await blocks_of(client, third.id)] == [
        ("a", 2),
        ("b", 1),
    ]
    watch = await watch_to_end(client, new.id, after_seq=0)
    assert [e.seq for e in watch.changes] == list(range(1, ended.seq + 1))


async def test_the_version_is_the_pinned_one_or_the_one_asked_for(client: Client) -> None:
    task_def = await define(client)
    old = await create(client, task_def.id)
    await update_def(
        client, TaskDef(id=task_def.id, config=struct({"blocks": [{"id": "z", "type": "t"}]}))
    )
    await finish_run(client, old.id, FAILED)
    pinned = await retry(client, old.id)
    assert (pinned.task_def_version, pinned.block_counts.total) == (1, 2)
    await finish_run(client, pinned.id, FAILED)
    newest = await retry(client, pinned.id, task_def_version=2)
    assert (newest.task_def_version, newest.block_counts.total) == (2, 1)
    await finish_run(client, newest.id, FAILED)
    with refused(StatusCode.NOT_FOUND):
        await retry(client, newest.id, task_def_version=3)
    with refused(StatusCode.INVALID_ARGUMENT):
        await retry(client, newest.id, task_def_version=-1)


async def test_the_name_and_type_are_those_of_the_version(client: Client) -> None:
    task_def = await define(client, name="old name", task_type="old")
    old = await create(client, task_def.id)
    await update_def(client, TaskDef(id=task_def.id, name="new name", task_type="new"))
    await finish_run(client, old.id, FAILED)
    pinned = await retry(client, old.id)
    assert (pinned.task_def_name, pinned.task_type) == ("old name", "old")
    await finish_run(client, pinned.id, FAILED)
    newest = await retry(client, pinned.id, task_def_version=2)
    assert (newest.task_def_name, newest.task_type) == ("new name", "new")


@pytest.mark.parametrize("gone", [False, True])
async def test_only_an_enabled_definition_is_run_again(client: Client, gone: bool) -> None:
    old = await broken(client)
    if gone:
        await delete_def(client, old.task_def_id)
    else:
        await client.definitions.DisableTaskDef(DisableTaskDefRequest(id=old.task_def_id))
    with refused(StatusCode.FAILED_PRECONDITION, "TASK_DEF_NOT_ENABLED"):
        await retry(client, old.id)
    assert await get(client, old.id) == old


async def test_only_one_retry_is_open(client: Client) -> None:
    old = await broken(client)
    first = await retry(client, old.id)
    with refused(StatusCode.FAILED_PRECONDITION, "RETRY_OPEN") as refusal:
        await retry(client, old.id)
    assert refusal.metadata["id"] == first.id
    await finish_run(client, first.id, FAILED)
    assert (await retry(client, old.id)).attempt == 2


async def test_an_open_run_anywhere_in_the_chain_forbids_another_retry(client: Client) -> None:
    chain = [await broken(client)]
    for _ in range(3):
        chain.append(await retry(client, chain[-1].id))
        for run in chain[:-1]:
            with refused(StatusCode.FAILED_PRECONDITION, "RETRY_OPEN") as refusal:
                await retry(client, run.id)
            assert refusal.metadata["id"] == chain[-1].id
        await finish_run(client, chain[-1].id, FAILED)
    beside = await retry(client, chain[1].id)  # a chain may branch, but not while one is open
    for run in chain:
        with refused(StatusCode.FAILED_PRECONDITION, "RETRY_OPEN"):
            await retry(client, run.id)
    await finish_run(client, beside.id, FAILED)
    last = await retry(client, chain[-1].id)
    for run in chain[1:]:  # what is between them may be gone
        await client.records.DeleteTaskRecord(DeleteTaskRecordRequest(id=run.id))
    with refused(StatusCode.FAILED_PRECONDITION, "RETRY_OPEN") as refusal:
        await retry(client, chain[0].id)
    assert refusal.metadata["id"] == last.id


async def test_a_retry_may_ask_for_a_unique_external_id(client: Client) -> None:
    old = await finish_run(client, (await create(client, external_id="order-1")).id, FAILED)
    other = await create(client, external_id="order-1")
    with refused(StatusCode.ALREADY_EXISTS, "EXTERNAL_ID_TAKEN") as refusal:
        await retry(client, old.id, unique_external_id=True)
    assert refusal.metadata["id"] == other.id
    await finish_run(client, other.id, FAILED)
    assert (await retry(client, old.id, unique_external_id=True)).external_id == "order-1"
    without = await broken(client)
    with refused(StatusCode.INVALID_ARGUMENT) as refusal:
        await retry(client, without.id, unique_external_id=True)
    assert refusal.fields == ["unique_external_id"]


async def test_what_stands_above_copied_blocks_comes_along_as_pending(client: Client) -> None:
    loop = block("loop", BROKEN, block_type="loop", input_data={"n": 3}, output_data={"x": 1})
    turn = block("turn", RUNNING, iteration="1", name="turn", robot_id="amr-1")
    turn.parent.CopyFrom(BlockRecordKey(block_id="loop"))
    work = block("work", DONE, iteration="1.0")
    work.parent.CopyFrom(BlockRecordKey(block_id="turn", iteration="1"))
    late = block("late", DONE)  # reported before its parent was
    alone = block("alone", BROKEN)
    run = await running(client)
    await report(client, run.id, late, loop, turn, work, alone)
    late.parent.CopyFrom(BlockRecordKey(block_id="late-parent"))
    again = block("late", DONE, attempt=2)
    again.parent.CopyFrom(BlockRecordKey(block_id="late-parent"))
    await report(client, run.id, block("late-parent", BROKEN), again)
    await finish_run(client, run.id, FAILED)
    new = await retry(client, run.id, FROM_FAILURE)

    copies = {(b.block_id, b.attempt): b for b in await blocks_of(client, new.id)}
    assert set(copies) == {("loop", 1), ("turn", 1), ("work", 1), ("late-parent", 1), ("late", 2)}
    top, middle = copies["loop", 1], copies["turn", 1]
    assert (middle.parent_block_record_id, middle.iteration, middle.name) == (top.id, "1", "turn")
    assert copies["work", 1].parent_block_record_id == middle.id
    assert copies["late", 2].parent_block_record_id == copies["late-parent", 1].id
    for copied in (top, middle, copies["late-parent", 1]):
        assert copied.status == WAITING
        for name in ("start_time", "end_time", "output_data"):
            assert not copied.HasField(name)
        assert copied.robot_id == ""
    assert (top.block_type, top.input_data) == ("loop", struct({"n": 3}))
    counts = new.block_counts
    assert (counts.pending, counts.succeeded, counts.failed, counts.total) == (3, 2, 0, 5)
    assert await get(client, new.id, strong=True) == new

    # So the executor reports as it did, and the tree is what it was.
    await start(client, new.id)
    turn.status, work.status = RUNNING, DONE
    answer = await report(client, new.id, block("loop", RUNNING), turn, work)
    assert [b.id for b in answer.block_records] == [top.id, middle.id, copies["work", 1].id]
    assert (await get(client, new.id)).block_counts.running == 2


async def test_only_failed_and_canceled_runs_are_retried(client: Client) -> None:
    run = await create(client)
    with refused(StatusCode.FAILED_PRECONDITION, "ILLEGAL_TRANSITION"):
        await retry(client, run.id)
    await start(client, run.id)
    with refused(StatusCode.FAILED_PRECONDITION, "ILLEGAL_TRANSITION"):
        await retry(client, run.id)
    await finish_run(client, run.id, SUCCEEDED)
    before = await everything(client, run.id)
    with refused(StatusCode.FAILED_PRECONDITION, "ILLEGAL_TRANSITION"):
        await retry(client, run.id)
    assert await everything(client, run.id) == before
    with refused(StatusCode.NOT_FOUND):
        await retry(client, "nobody")
    failed = await broken(client)
    with refused(StatusCode.ABORTED):
        await retry(client, failed.id, etag="other")


async def test_a_request_id_makes_one_retry(client: Client) -> None:
    old = await broken(client)
    request_id = str(uuid.uuid4())
    first = await retry(client, old.id, request_id=request_id)
    assert await retry(client, old.id, request_id=request_id) == first
    started = await start(client, first.id)
    assert await retry(client, old.id, request_id=request_id) == started
    with refused(StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED"):
        await retry(client, old.id, FROM_FAILURE, request_id=request_id)


async def test_an_etag_wins_over_a_known_request_id(client: Client) -> None:
    run = await broken(client)
    request = RetryTaskRecordRequest(id=run.id, etag=run.etag, request_id=str(uuid.uuid4()))
    made = await client.records.RetryTaskRecord(request)
    assert await client.records.RetryTaskRecord(request) == made
    changed = UpdateTaskRecordRequest(task_record=TaskRecord(id=run.id, priority=5))
    await client.records.UpdateTaskRecord(changed)
    with refused(StatusCode.ABORTED, "ETAG_MISMATCH"):
        await client.records.RetryTaskRecord(request)
