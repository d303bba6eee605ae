"""What a watch of many runs tells of the changes: all of them, in order, or progress instead."""

import asyncio
from functools import partial

import pytest
from vwed.v1.common_pb2 import View
from vwed.v1.record_service_pb2 import (
    DeleteTaskRecordRequest,
    SignalTaskRecordRequest,
    UpdateTaskRecordRequest,
)
from vwed.v1.task_record_event_pb2 import TaskRecordEvent
from vwed.v1.task_record_pb2 import TaskRecord

from tests.integration.watching.test_watch_delivery import replica
from tests.support.calls import finish_run
from tests.support.feeding import FeedReader, feeding
from tests.support.steps import (
    block,
    create,
    define,
    get,
    history,
    report,
    running,
    start,
    struct,
)
from tests.support.waiting import promptly
from vwed.client import Client
from vwed_grpc.domain.blocks import RUNNING, SUCCEEDED
from vwed_grpc.settings import Settings
from vwed_grpc.watching import feed


async def test_with_blocks_every_change_of_every_run_is_told(client: Client) -> None:
    before = await running(client)
    async with feeding(client, include_blocks=True, view=View.VIEW_FULL) as seen:
        created = await create(client, input=struct({"to": "dock"}))
        await start(client, created.id)
        for run in (before, created):
            await report(client, run.id, block("a", RUNNING, input_data={"x": 1}))
            await report(client, run.id, block("a", SUCCEEDED, output_data={"y": 1}))
            await report(
                client, run.id, block("b", SUCCEEDED, input_data={"x": 2}, output_data={"y": 2})
            )
        await client.records.SignalTaskRecord(
            SignalTaskRecordRequest(id=before.id, name="skip_block", payload=struct({"z": 1}))
        )
        ended = await finish_run(client, before.id, result=struct({"ok": True}))
        # What comes after the end is told here as well.
        await client.records.UpdateTaskRecord(
            UpdateTaskRecordRequest(task_record=TaskRecord(id=before.id, pinned=True))
        )
        await seen.reach(before.id, ended.seq + 1)
        await seen.reach(created.id, 5)
        assert seen.changes[before.id] == await history(client, before.id, after_seq=2)
        assert seen.changes[created.id] == await history(client, created.id)
        both = seen.changes[created.id][-1].block_record
        assert (both.input_data, both.output_data) == (struct({"x": 2}), struct({"y": 2}))


async def test_the_events_of_a_report_or_transition_come_together(client: Client) -> None:
    run = await running(client)
    async with feeding(client, include_blocks=True) as seen:
        for blocks in (["a", "b", "c"], ["d"]):
            await report(client, run.id, *(block(name, RUNNING) for name in blocks))
        await finish_run(client, run.id)
        await seen.reach(run.id, 11)
    messages = {e.seq: n for n, m in enumerate(seen.messages) for e in m.events}
    assert len({messages[seq] for seq in (3, 4, 5)}) == 1
    assert len({messages[seq] for seq in range(7, 12)}) == 1
    assert not [m for m in seen.messages if m.more]


async def test_a_report_above_3_mib_is_split_and_says_more(client: Client) -> None:
    run = await running(client)
    payload = {"x": "x" * 1_000_000}
    async with feeding(client, include_blocks=True, view=View.VIEW_FULL) as seen:
        await report(client, run.id, *(block(f"b{n}", output_data=payload) for n in range(4)))
        await seen.reach(run.id, 6)
        assert seen.changes[run.id] == await history(client, run.id, after_seq=2)
    parts = [m for m in seen.messages if m.events]
    assert [m.more for m in parts[1:]] == [True, False]
    # Cut in between, the whole report comes again.
    async with feeding(
        client, parts[1].resume_token, include_blocks=True, view=View.VIEW_FULL
    ) as resumed:
        await resumed.reach(run.id, 6)
        assert resumed.seqs(run.id) == [3, 4, 5, 6]


def progress(seen: FeedReader, run: str) -> list[TaskRecordEvent]:
    """Of a run that was started before; every change of it must be a state of the run."""
    told = seen.changes[run]
    assert all(event.WhichOneof("change") == "task_record" for event in told)
    return told


async def test_without_blocks_progress_is_told_at_most_once_a_second(client: Client) -> None:
    names = [f"b{n}" for n in range(50)]
    task_def = await define(client, {"blocks": [{"id": n, "type": "move"} for n in names]})
    run = await running(client, task_def.id)
    async with feeding(client) as seen:
        for name in names:
            await report(client, run.id, block(name, SUCCEEDED))
            await asyncio.sleep(0.04)
        await seen.reach(run.id, 52)
        told = progress(seen, run.id)
        at = [seen.arrived[run.id, event.seq] for event in told]
        # The way of each takes its own time, so they are counted.
        assert 2 <= len(told) <= 2 + (at[-1] - at[0]) / 0.9
        now = await get(client, run.id, strong=True)
        now.ClearField("input")
        assert told[-1].task_record == now
        assert (told[-1].seq, told[-1].progress) == (52, 1.0)
        assert told[-1].block_counts == now.block_counts


async def test_an_end_is_told_at_once_and_says_the_progress_too(client: Client) -> None:
    loop = asyncio.get_running_loop()

    async def delay() -> float:
        run = await running(client)
        async with feeding(client) as seen:
            await report(client, run.id, block("a", SUCCEEDED))
            await seen.reach(run.id, 3)
            at = seen.arrived[run.id, 3]
            await report(client, run.id, block("b", RUNNING))  # not told by itself within a second
            ended = await finish_run(client, run.id)
            written = loop.time()
            await seen.reach(run.id, ended.seq)
            took = loop.time() - written
            if seen.arrived[run.id, ended.seq] - at < 0.9:  # else the machine is that slow
                assert seen.seqs(run.id) == [3, ended.seq]
            assert seen.changes[run.id][-1] == (await history(client, run.id))[-1]
        return took

    await promptly(delay, below=0.9)


async def test_progress_that_waits_is_told_again_after_a_cut(client: Client) -> None:
    run = await running(client)
    async with feeding(client) as seen:
        await report(client, run.id, block("a", SUCCEEDED))
        await seen.reach(run.id, 3)
        await report(client, run.id, block("b", SUCCEEDED))
        other = await create(client)
        await seen.reach(other.id, 1)  # by then the second report was read, and waits
        assert seen.seqs(run.id) == [3]
    async with feeding(client, seen.token) as resumed:
        await resumed.reach(run.id, 4)
        assert progress(resumed, run.id)[-1].progress == 1.0


async def test_a_token_stands_before_progress_that_waits_however_long(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "PROGRESS_SECONDS", 3600)
    run = await running(client)
    async with feeding(client, bookmark=1) as seen:
        await report(client, run.id, block("a", SUCCEEDED))
        await seen.reach(run.id, 3)
        await report(client, run.id, block("b", SUCCEEDED))
        said = seen.idle_messages
        await seen.until(lambda: seen.idle_messages >= said + 2)
        assert seen.seqs(run.id) == [3]
    async with feeding(client, seen.token) as resumed:
        await resumed.reach(run.id, 4)


async def test_the_progress_of_each_run_is_told_as_often_as_that_of_one(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "PROGRESS_SECONDS", 3600)
    runs = [await running(client) for _ in range(3)]
    async with feeding(client, bookmark=1) as seen:
        for run in runs:
            await report(client, run.id, block("a", RUNNING))
            await seen.reach(run.id, 3)
        for run in runs:
            await report(client, run.id, block("a", SUCCEEDED))
        said = seen.idle_messages
        await seen.until(lambda: seen.idle_messages >= said + 2)
        assert [seen.seqs(run.id) for run in runs] == [[3]] * 3


async def test_progress_of_a_run_waits_while_that_of_others_comes_until_a_change_says_it(
    client: Client,
) -> None:
    one, other = await running(client), await running(client)
    async with feeding(client, bookmark=1) as seen:
        await report(client, one.id, block("a", RUNNING))
        await seen.reach(one.id, 3)
        await report(client, one.id, block("a", SUCCEEDED))  # which waits
        await report(client, other.id, block("a", RUNNING))
        await seen.reach(other.id, 3)
        await seen.reach(one.id, 4)
        for _ in range(2):  # together with what ends it, and before
            await report(client, other.id, block("b", RUNNING))
        ended = await finish_run(client, other.id)
        await seen.reach(other.id, ended.seq)
        said = seen.idle_messages
        await seen.until(lambda: seen.idle_messages >= said + 2)
        assert seen.seqs(other.id)[-1] == ended.seq


async def test_a_deletion_is_told(client: Client) -> None:
    run, other = await create(client), await create(client)
    async with feeding(client) as seen:
        await client.records.DeleteTaskRecord(
            DeleteTaskRecordRequest(id=run.id, force=True, reason="by mistake")
        )
        await seen.reach(run.id, 2)
        (event,) = seen.changes[run.id]
    assert event.HasField("deleted")
    assert (event.seq, event.actor, event.reason) == (2, "tester", "by mistake")
    assert event.event_time.ToNanoseconds() > run.update_time.ToNanoseconds()
    assert other.id not in seen.changes


async def delay_of_a_creation(client: Client, seen: FeedReader, task_def_id: str) -> float:
    """The longest of three, in seconds."""
    loop = asyncio.get_running_loop()
    found = []
    for _ in range(3):
        run = await create(client, task_def_id)
        written = loop.time()
        await seen.reach(run.id, 1)
        found.append(seen.arrived[run.id, 1] - written)
        assert seen.seqs(run.id) == [1]
    return max(found)


async def test_events_of_a_replica_arrive_within_1_s_without_redis(
    settings: Settings, tenant: str
) -> None:
    async with (
        replica(settings, tenant, "none") as one,
        replica(settings, tenant, "none") as another,
    ):
        task_def = await define(one)
        async with feeding(one) as seen:
            await promptly(partial(delay_of_a_creation, another, seen, task_def.id), below=1)


async def test_a_lost_wake_up_costs_less_than_5_s(
    client: Client, settings: Settings, tenant: str
) -> None:
    async with replica(settings, tenant, "none") as silent, feeding(client) as seen:
        task_def = await define(silent)
        await promptly(partial(delay_of_a_creation, silent, seen, task_def.id), below=5)
