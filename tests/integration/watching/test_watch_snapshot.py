"""The snapshot of a watch: present states by the seq of their last change, then what follows."""

import asyncio

import pytest
from vwed.v1.block_record_pb2 import BlockRecord
from vwed.v1.common_pb2 import View
from vwed.v1.record_service_pb2 import FinishTaskRecordRequest

from tests.support.steps import (
    block,
    blocks_of,
    create,
    get,
    history,
    report,
    running,
    struct,
)
from tests.support.watching import Watcher, watch_to_end, watching
from vwed.client import Client
from vwed_grpc.domain import lifecycle
from vwed_grpc.domain.blocks import RUNNING, SUCCEEDED


def blocks_after(seen: Watcher) -> dict[str, BlockRecord]:
    """What a reader who puts each event over the one before knows of the blocks."""
    told = [*seen.snapshot, *seen.changes]
    return {e.block_record.id: e.block_record for e in told if e.HasField("block_record")}


async def test_present_states_come_by_their_last_change(client: Client) -> None:
    run = await running(client, input=struct({"order": 7}))
    await report(client, run.id, block("a", RUNNING), block("b", RUNNING), block("c", RUNNING))
    await report(client, run.id, block("b", message="on"), block("a", message="on"))
    async with watching(client, run.id) as seen:
        await seen.reach(7)
        c, b, a = [event.block_record.block_id for event in seen.snapshot[1:]]
        assert (c, b, a) == ("c", "b", "a")
        assert [event.seq for event in seen.snapshot] == [2, 5, 6, 7]
        assert seen.messages[-1].bookmark_seq == 7
        now = await get(client, run.id)
        now.ClearField("input")
        assert seen.snapshot[0].task_record == now  # its seq is 7, its own last change was 2
        assert seen.snapshot[0].block_counts == now.block_counts
        await report(client, run.id, block("d", RUNNING))
        await seen.reach(8)
        assert [event.seq for event in seen.changes] == [8]


async def test_a_run_that_was_just_created(client: Client) -> None:
    run = await create(client)
    async with watching(client, run.id) as seen:
        await seen.reach(1)
        assert [event.seq for event in seen.snapshot] == [1]
        assert seen.snapshot[0].task_record.status == lifecycle.PENDING


async def test_full_has_the_payload_that_is_stored(client: Client) -> None:
    run = await running(client, input=struct({"order": 7}))
    await report(client, run.id, block("a", RUNNING, input_data={"x": 1}))
    await report(client, run.id, block("a", SUCCEEDED, output_data={"y": 1}))
    for view in (View.VIEW_UNSPECIFIED, View.VIEW_BASIC, View.VIEW_FULL):
        async with watching(client, run.id, view=view) as seen:
            await seen.reach(4)
        state, done = seen.snapshot
        full = view == View.VIEW_FULL
        assert state.task_record.HasField("input") == full
        assert done.block_record.HasField("input_data") == full
        assert done.block_record.HasField("output_data") == full
        if full:
            assert state.task_record.input == struct({"order": 7})
            assert [done.block_record] == await blocks_of(client, run.id)


async def test_a_cut_within_the_snapshot_resumes_with_the_last_seq_seen(client: Client) -> None:
    run = await running(client)
    for n in range(4):
        await report(client, run.id, block(f"b{n}", RUNNING))
    for n in (1, 3):
        await report(client, run.id, block(f"b{n}", SUCCEEDED))
    await client.records.FinishTaskRecord(
        FinishTaskRecordRequest(id=run.id, status=lifecycle.FAILED)
    )
    whole = await watch_to_end(client, run.id)
    for n in range(len(whole.snapshot)):
        seen = whole.snapshot[: n + 1]
        rest = await watch_to_end(client, run.id, seen[-1].seq)
        rest.snapshot = seen
        assert blocks_after(rest) == blocks_after(whole)


async def test_a_snapshot_of_many_pages_while_its_blocks_change(client: Client) -> None:
    """Wherever a snapshot falls among changes, it and what follows are the whole truth."""
    run = await running(client)
    for page in range(3):
        await report(client, run.id, *(block(f"b{page}.{n}", RUNNING) for n in range(400)))

    async def change(n: int) -> None:
        await report(client, run.id, block(f"b{n % 3}.{n}", message=f"{n}"))
        await report(client, run.id, block(f"b{(n + 1) % 3}.{399 - n}", SUCCEEDED))

    watches = []
    for n in range(18):
        if n % 6 == 0:
            watches.append(asyncio.create_task(watch_to_end(client, run.id)))
        await asyncio.gather(change(2 * n), change(2 * n + 1))
    await client.records.FinishTaskRecord(
        FinishTaskRecordRequest(id=run.id, status=lifecycle.SUCCEEDED)
    )
    told = [e.block_record for e in await history(client, run.id) if e.HasField("block_record")]
    stored = {record.id: record for record in told}
    for seen in await asyncio.gather(*watches):
        assert blocks_after(seen) == stored


@pytest.mark.parametrize("status", [lifecycle.SUCCEEDED, lifecycle.FAILED])
async def test_a_final_run_with_its_result(client: Client, status: lifecycle.Status) -> None:
    run = await running(client)
    done = await client.records.FinishTaskRecord(
        FinishTaskRecordRequest(id=run.id, status=status, result=struct({"moved": 3}))
    )
    (state,) = (await watch_to_end(client, run.id, view=View.VIEW_FULL)).snapshot
    assert state.task_record == done
    (state,) = (await watch_to_end(client, run.id)).snapshot
    assert not state.task_record.HasField("result")
