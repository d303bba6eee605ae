"""Which runs a watch of many runs is about: those that match, and those that no longer do."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import StatusCode
from vwed.v1.common_pb2 import TimeRange, View
from vwed.v1.record_service_pb2 import (
    DeleteTaskRecordRequest,
    SignalTaskRecordRequest,
    UpdateTaskRecordRequest,
)
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordFilter

from tests.support.calls import finish_run
from tests.support.feeding import feeding, labelled
from tests.support.steps import (
    block,
    create,
    define,
    history,
    let_lease_run_out,
    refused,
    report,
    running,
    start,
    until,
)
from vwed.client import Client
from vwed_grpc.domain.blocks import RUNNING
from vwed_grpc.domain.lifecycle import INTERRUPTED

Leave = Callable[[Client, str, str], Awaitable[Any]]


async def update(client: Client, run: str, **fields: Any) -> TaskRecord:
    record = TaskRecord(id=run, **fields)
    request = UpdateTaskRecordRequest(task_record=record)
    request.update_mask.paths.extend(fields)
    return await client.records.UpdateTaskRecord(request)


async def relabel(client: Client, run: str, _: str) -> None:
    await update(client, run, labels={"zone": "b"})


async def rename(client: Client, run: str, _: str) -> None:
    await update(client, run, external_id="WMS-9")


async def take_over(client: Client, run: str, database_url: str) -> None:
    await let_lease_run_out(database_url, run)
    await until(client, run, INTERRUPTED)
    await start(client, run, "robot-2")


LEAVING: dict[str, tuple[TaskRecordFilter, Leave]] = {
    "labels": (labelled(zone="a"), relabel),
    "external_ids": (TaskRecordFilter(external_ids=["WMS-1"]), rename),
    "external_id_prefix": (TaskRecordFilter(external_id_prefix="WMS-1"), rename),
    "executor_ids": (TaskRecordFilter(executor_ids=["robot-1"]), take_over),
}


@pytest.mark.parametrize(("f", "leave"), LEAVING.values(), ids=list(LEAVING))
async def test_the_change_that_takes_a_run_out_is_told_and_no_later_one(
    client: Client, database_url: str, f: TaskRecordFilter, leave: Leave
) -> None:
    run = await running(client, lease=60, labels={"zone": "a"}, external_id="WMS-1")
    async with feeding(client, filter=f, include_blocks=True) as seen:
        await report(client, run.id, block("a", RUNNING))
        await leave(client, run.id, database_url)
        out = (await history(client, run.id))[-1].seq
        await seen.reach(run.id, out)
        await report(client, run.id, block("b", RUNNING))
        await finish_run(client, run.id)
        await client.records.DeleteTaskRecord(DeleteTaskRecordRequest(id=run.id))
        last = await running(client, labels={"zone": "a"}, external_id="WMS-1")
        await seen.reach(last.id, 2)
        assert seen.changes[run.id] == (await history(client, run.id))[2:out]


@pytest.mark.parametrize(("f", "leave"), LEAVING.values(), ids=list(LEAVING))
async def test_resuming_tells_what_happened_until_a_run_was_out(
    client: Client, database_url: str, f: TaskRecordFilter, leave: Leave
) -> None:
    run = await running(client, lease=60, labels={"zone": "a"}, external_id="WMS-1")
    async with feeding(client, filter=f, include_blocks=True) as seen:
        pass
    await report(client, run.id, block("a", RUNNING))
    await client.records.SignalTaskRecord(SignalTaskRecordRequest(id=run.id, name="hurry"))
    await leave(client, run.id, database_url)
    out = (await history(client, run.id))[-1].seq
    await report(client, run.id, block("b", RUNNING))
    await finish_run(client, run.id)
    last = await running(client, labels={"zone": "a"}, external_id="WMS-1")
    async with feeding(client, seen.token, filter=f, include_blocks=True) as resumed:
        await resumed.reach(last.id, 2)
        assert resumed.changes[run.id] == (await history(client, run.id))[2:out]


async def test_without_blocks_a_run_that_leaves_says_its_progress(client: Client) -> None:
    run = await running(client, labels={"zone": "a"})
    async with feeding(client, filter=labelled(zone="a")) as seen:
        await report(client, run.id, block("a", RUNNING))
        await seen.reach(run.id, 3)
        await report(client, run.id, block("a", RUNNING, message="on the way"))
        await relabel(client, run.id, "")
        await report(client, run.id, block("b", RUNNING))
        other = await create(client, labels={"zone": "a"})
        await seen.reach(other.id, 1)
        assert seen.seqs(run.id) == [3, 5]
        assert seen.changes[run.id][-1].task_record.labels == {"zone": "b"}


async def test_a_run_that_begins_to_match_is_told_from_then_on(client: Client) -> None:
    run = await running(client)
    async with feeding(client, filter=labelled(zone="a"), include_blocks=True) as seen:
        assert not seen.snapshot
        await report(client, run.id, block("a", RUNNING))
        other = await create(client, labels={"zone": "a"})
        await seen.reach(other.id, 1)
        await update(client, run.id, labels={"zone": "a"})
        await report(client, run.id, block("b", RUNNING))
        await seen.reach(run.id, 5)
        assert seen.seqs(run.id) == [4, 5]


async def test_a_run_that_comes_and_goes_is_told_while_it_was_there(client: Client) -> None:
    run = await running(client, labels={"zone": "a"})
    async with feeding(client, filter=labelled(zone="a"), include_blocks=True) as seen:
        pass
    for turn, zone in enumerate(["b", "a", "b"]):
        await report(client, run.id, block(f"in turn {turn}", RUNNING))
        await update(client, run.id, labels={"zone": zone})
    await report(client, run.id, block("last", RUNNING))
    other = await create(client, labels={"zone": "a"})
    async with feeding(
        client, seen.token, filter=labelled(zone="a"), include_blocks=True
    ) as resumed:
        await resumed.reach(other.id, 1)
        #                               in zone a: 3; out by 4; in again by 6, 7; out by 8
        assert resumed.seqs(run.id) == [3, 4, 6, 7, 8]


async def test_a_run_that_came_ended_and_was_deleted_meanwhile_is_told_whole(
    client: Client,
) -> None:
    watched: dict[str, Any] = {
        "filter": labelled(zone="a"),
        "include_blocks": True,
        "view": View.VIEW_FULL,
    }
    async with feeding(client, **watched) as seen:
        pass
    gone: dict[str, str] = {}
    for zone in ("a", "b"):
        run = await running(client, labels={"zone": zone})
        await report(client, run.id, block("a", RUNNING))
        await finish_run(client, run.id)
        await client.records.DeleteTaskRecord(DeleteTaskRecordRequest(id=run.id))
        gone[zone] = run.id
    other = await create(client, labels={"zone": "a"})
    async with feeding(client, seen.token, **watched) as resumed:
        await resumed.reach(other.id, 1)
        assert resumed.changes[gone["a"]] == await history(client, gone["a"])
        assert gone["b"] not in resumed.changes


async def test_runs_that_never_match_are_not_told(client: Client) -> None:
    task_def = await define(client)
    async with feeding(client, filter=TaskRecordFilter(task_def_ids=[task_def.id])) as seen:
        run = await running(client, labels={"zone": "a"})
        await update(client, run.id, labels={"zone": "b"})
        await finish_run(client, run.id)
        await client.records.DeleteTaskRecord(DeleteTaskRecordRequest(id=run.id))
        mine = await create(client, task_def.id)
        await seen.reach(mine.id, 1)
        assert set(seen.changes) == {mine.id}


async def test_times_of_a_range_are_its_begin_and_before_its_end(client: Client) -> None:
    early, late = await running(client), await create(client)
    after = Timestamp()
    after.FromMicroseconds(early.start_time.ToMicroseconds() + 1)
    since = TaskRecordFilter(start_time=TimeRange(**{"from": after}))
    async with feeding(client, filter=since) as seen:
        assert not seen.snapshot
        await update(client, early.id, priority=1)
        late = await start(client, late.id)
        await seen.reach(late.id, late.seq)
        assert set(seen.changes) == {late.id}
    begin, end = TimeRange(**{"from": late.start_time}), TimeRange(to=late.start_time)
    for priority, span, inside in ((2, begin, late), (3, end, early)):
        async with feeding(client, filter=TaskRecordFilter(start_time=span)) as seen:
            assert set(seen.snapshot) == {inside.id}
            outside = early if inside is late else late
            await update(client, outside.id, priority=priority)
            changed = await update(client, inside.id, priority=priority)
            await seen.reach(inside.id, changed.seq)
            assert set(seen.changes) == {inside.id}


async def test_a_run_is_watched_through_all_its_statuses(client: Client) -> None:
    with refused(StatusCode.INVALID_ARGUMENT) as refusal:
        async with feeding(client, filter=TaskRecordFilter(statuses=[INTERRUPTED])):
            pass
    assert refusal.fields == ["filter.statuses"]
