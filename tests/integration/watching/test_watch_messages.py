"""What a watch puts into its messages: whole reports, bounded sizes, payload, bookmarks."""

import asyncio
from typing import Any

import pytest
from vwed.v1.common_pb2 import View
from vwed.v1.record_service_pb2 import (
    FinishTaskRecordRequest,
    WatchTaskRecordRequest,
    WatchTaskRecordsRequest,
)
from vwed.v1.task_record_event_pb2 import TaskRecordEvent

from tests.support.steps import block, history, report, running, struct
from tests.support.waiting import PATIENCE, promptly
from tests.support.watching import Watcher, watch_to_end, watching
from vwed.client import Client
from vwed_grpc.domain import lifecycle
from vwed_grpc.domain.blocks import RUNNING, SUCCEEDED
from vwed_grpc.services import watches


async def finish(client: Client, run: str) -> int:
    done = await client.records.FinishTaskRecord(
        FinishTaskRecordRequest(id=run, status=lifecycle.FAILED, result=struct({"moved": 3}))
    )
    return done.seq


def groups(seen: Watcher) -> list[list[int]]:
    """The seqs that came together: of one message, or of several that say `more`."""
    found: list[list[int]] = [[]]
    for message in seen.messages:
        found[-1] += [event.seq for event in message.events]
        if not message.more:
            found.append([])
    return [group for group in found if group]


def without_payload(event: TaskRecordEvent) -> TaskRecordEvent:
    if event.HasField("task_record"):
        event.task_record.ClearField("input")
        event.task_record.ClearField("result")
    else:
        event.block_record.ClearField("input_data")
        event.block_record.ClearField("output_data")
    return event


async def test_the_events_of_a_report_or_transition_come_together(client: Client) -> None:
    run = await running(client)
    async with watching(client, run.id, 2) as seen:
        await seen.reach(2)
        await report(client, run.id, *(block(f"b{n}", RUNNING) for n in range(300)))
        await report(client, run.id, *(block(f"b{n}", message="on") for n in range(0, 300, 2)))
        last = await finish(client, run.id)
        await seen.end()
    assert last == 2 + 300 + 150 + 300 + 1
    ends = {group[-1] for group in groups(seen)}
    assert ends <= {302, 452, last}
    assert not any(message.more for message in seen.messages)
    late = await watch_to_end(client, run.id, 0)
    assert {group[-1] for group in groups(late)} <= {1, 2, 302, 452, last}
    assert late.changes[2:] == seen.changes


async def test_more_than_3_mib_is_split_and_less_is_not(client: Client) -> None:
    run = await running(client)
    payload = {"x": "x" * 900_000}

    async def report_big(name: str) -> None:
        await report(
            client,
            run.id,
            block(f"{name} first", RUNNING),
            *(block(f"{name} {n}", RUNNING, output_data=payload) for n in range(4)),
            block(f"{name} last", RUNNING),
        )

    async with watching(client, run.id, 2, view=View.VIEW_FULL) as live:
        await live.reach(2)
        await report_big("one")
        await live.reach(8)
        await report_big("two")
        await report(client, run.id, *(block(f"b{n}", output_data=payload) for n in range(3)))
        await live.reach(17)
    async with watching(client, run.id, 2, view=View.VIEW_FULL) as resumed:
        await resumed.reach(17)
    async with watching(client, run.id, view=View.VIEW_FULL) as snapshot:
        await snapshot.reach(17)
    for seen in (live, resumed):
        assert groups(seen) == [list(range(3, 9)), list(range(9, 15)), [15, 16, 17]]
        cut = [message.events[-1].seq for message in seen.messages if message.more]
        assert any(seq < 8 for seq in cut)
        assert any(8 < seq < 14 for seq in cut)
        assert not any(seq > 14 for seq in cut)
        assert [e.block_record.HasField("output_data") for e in seen.changes] == [
            event.block_record.block_id.split()[-1] not in ("first", "last")
            for event in seen.changes
        ]
    for seen in (live, resumed, snapshot):
        assert all(message.ByteSize() <= 3 << 20 for message in seen.messages)
    assert [e.block_record for e in snapshot.snapshot[1:]] == [e.block_record for e in live.changes]
    async with watching(client, run.id, 2) as basic:
        await basic.reach(17)
    assert len(basic.messages) == 1


async def test_full_carries_payload_only_where_it_was_set(client: Client) -> None:
    run = await running(client, input=struct({"order": 7}))
    await report(client, run.id, block("a", RUNNING, input_data={"x": 1}))
    await report(client, run.id, block("a", message="on"))
    await report(client, run.id, block("a", SUCCEEDED, output_data={"y": 1}))
    await finish(client, run.id)
    full = await watch_to_end(client, run.id, 0, view=View.VIEW_FULL)
    assert full.changes == await history(client, run.id)
    assert [e.task_record.HasField("input") for e in full.changes] == [True, *[False] * 5]
    assert [e.block_record.HasField("input_data") for e in full.changes[2:5]] == [
        True,
        False,
        False,
    ]
    assert [e.block_record.HasField("output_data") for e in full.changes[2:5]] == [
        False,
        False,
        True,
    ]
    assert full.changes[-1].task_record.result == struct({"moved": 3})
    basic = await watch_to_end(client, run.id, 0)
    assert basic.changes == [without_payload(event) for event in full.changes]


async def test_an_idle_watch_says_where_it_stands(client: Client) -> None:
    async def late() -> float:
        run = await running(client)
        async with watching(client, run.id, bookmark=1) as seen:
            await seen.reach(2)
            await asyncio.sleep(0.6)
            await report(client, run.id, block("a", RUNNING))
            await seen.reach(3)
            bookmarked = len(seen.bookmarks)  # none, unless the machine is slow
            await seen.until(lambda: len(seen.bookmarks) >= bookmarked + 2)
        assert [message.bookmark_seq for message in seen.messages[-2:]] == [3, 3]
        # The interval begins with the last message, whatever that was.
        first, second = (at - seen.arrived[3] for at in seen.bookmarks[bookmarked:])
        assert first > 0.9
        assert second > 1.8
        return max(first - 1, second - 2) + bookmarked

    await promptly(late, below=0.8)


async def test_an_idle_watch_is_bookmarked_every_15_s_unless_told(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert watches.BOOKMARK_SECONDS == 15
    monkeypatch.setattr(watches, "BOOKMARK_SECONDS", 0.2)  # the test is not about patience
    run = await running(client)
    streams: list[Any] = [
        client.records.WatchTaskRecord(WatchTaskRecordRequest(task_record_id=run.id)),
        client.records.WatchTaskRecords(WatchTaskRecordsRequest()),
    ]
    async with asyncio.timeout(PATIENCE):
        for stream in streams:
            messages = [await anext(aiter(stream)) for _ in range(3)]
            assert [len(message.events) for message in messages] == [1, 0, 0]
            stream.cancel()


async def test_a_watch_of_nothing_new_says_so(client: Client) -> None:
    run = await running(client)
    async with watching(client, run.id, 2, bookmark=1) as seen:
        await seen.until(lambda: len(seen.bookmarks) >= 1)
    assert [message.bookmark_seq for message in seen.messages] == [2]
