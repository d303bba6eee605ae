"""How a watch of many runs begins: with the open runs that match, as they are."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import pytest
from vwed.v1.common_pb2 import View
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordFilter

from tests.integration.watching.test_watch_delivery import replica
from tests.support.calls import finish_run
from tests.support.feeding import feeding, labelled
from tests.support.steps import (
    block,
    blocks_of,
    create,
    define,
    get,
    report,
    running,
    start,
    struct,
)
from tests.support.waiting import PATIENCE
from vwed.client import Client, connect
from vwed_grpc.domain.blocks import RUNNING, SUCCEEDED
from vwed_grpc.settings import Settings
from vwed_grpc.storage import present_states
from vwed_grpc.watching import catch_up, feed, log
from vwed_grpc.watching.snapshot_page import SnapshotPage, read_page


async def test_nothing_to_tell_is_said(client: Client) -> None:
    await finish_run(client, (await running(client)).id)
    async with feeding(client) as seen:
        (first,) = seen.messages
    assert first.snapshot
    assert not first.events


async def test_open_runs_are_told_as_they_are(client: Client, target: str) -> None:
    waits, runs, ended = await create(client), await running(client), await running(client)
    await finish_run(client, ended.id)
    await report(client, runs.id, block("a", SUCCEEDED))
    async with connect(target, tenant="another", bare=True) as other:
        await create(other)
    async with feeding(client) as seen:
        assert set(seen.snapshot) == {waits.id, runs.id}
        for id_, (told,) in seen.snapshot.items():
            run = await get(client, id_, strong=True)
            run.ClearField("input")
            assert told.task_record == run
            assert (told.seq, told.progress) == (run.seq, run.progress)
            assert told.event_time == run.update_time


async def test_only_runs_that_match_are_told(client: Client) -> None:
    mine = await create(client, labels={"zone": "a"}, priority=3)
    await create(client, labels={"zone": "b"})
    for f in (labelled(zone="a"), TaskRecordFilter(task_def_ids=[mine.task_def_id])):
        async with feeding(client, filter=f) as seen:
            assert set(seen.snapshot) == {mine.id}


async def test_with_blocks_each_has_the_seq_of_its_last_change(client: Client) -> None:
    run = await running(client)
    await report(client, run.id, block("a", RUNNING), block("b", RUNNING))
    await report(client, run.id, block("a", SUCCEEDED, output_data={"x": 1}))
    async with feeding(client, include_blocks=True, view=View.VIEW_FULL) as seen:
        own, b, a = seen.snapshot[run.id]
    assert (own.seq, own.task_record.id) == (2, run.id)
    stored = {stored.block_id: stored for stored in await blocks_of(client, run.id)}
    assert (b.seq, b.block_record) == (4, stored["b"])
    assert (a.seq, a.block_record) == (5, stored["a"])
    assert a.event_time == stored["a"].update_time


async def test_blocks_are_told_however_many_are_read_at_a_time(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(present_states, "BLOCKS_AT_ONCE", 3)  # the server is in this process
    task_def = await define(client)
    runs = dict[str, list[str]]()
    for count in (2, 2, 4, 0, 2):
        run = await running(client, task_def.id)
        runs[run.id] = [f"b{n}" for n in range(count)]
        if count:
            await report(client, run.id, *(block(name, RUNNING) for name in runs[run.id]))
    async with feeding(client, include_blocks=True) as seen:
        later = await create(client, task_def.id)
        await seen.reach(later.id, 1)
    told = {
        id_: [each.block_record.block_id for each in states if each.HasField("block_record")]
        for id_, states in seen.snapshot.items()
    }
    assert told == runs


async def test_full_has_the_payload(client: Client) -> None:
    run = await create(client, input=struct({"to": "dock"}))
    for view in (View.VIEW_UNSPECIFIED, View.VIEW_BASIC, View.VIEW_FULL):
        async with feeding(client, view=view) as seen:
            (state,) = seen.snapshot[run.id]
            assert state.task_record.HasField("input") == (view == View.VIEW_FULL)


async def test_a_snapshot_that_is_cut_goes_on_where_it_was(client: Client) -> None:
    """Of 450 runs, which is three pages; some change, come and end while nobody watches."""
    task_def = await define(client, {})
    runs: list[TaskRecord] = []
    for _ in range(9):
        runs += await asyncio.gather(*(create(client, task_def.id) for _ in range(50)))
    async with feeding(client) as seen:
        await seen.until(lambda: len(seen.snapshot) == len(runs))
    first, second, third = seen.messages
    assert [len(m.events) for m in (first, second, third)] == [200, 200, 50]

    told, untold = first.events[0].task_record_id, third.events[-1].task_record_id
    created = await running(client, task_def.id)
    await start(client, told)
    await start(client, untold)
    await finish_run(client, created.id)
    rest = {event.task_record_id for message in (second, third) for event in message.events}
    async with feeding(client, first.resume_token) as resumed:
        await resumed.reach(told, 2)
        await resumed.reach(created.id, 3)
        await resumed.until(lambda: len(resumed.snapshot) >= len(rest))
        assert rest <= set(resumed.snapshot)
        assert resumed.seqs(created.id)[-1] == 3
        # Its state says the change as well, unless others who began there had been told it before.
        if resumed.snapshot[untold][0].seq < 2:
            await resumed.reach(untold, 2)
    async with feeding(client, third.resume_token) as at_the_end:
        await at_the_end.reach(told, 2)
        await at_the_end.reach(untold, 2)
        await at_the_end.reach(created.id, 3)
        assert not at_the_end.snapshot
        assert at_the_end.seqs(created.id) == [1, 2, 3]


def _are_whole(runs: Iterable[str], snapshot: Mapping[str, Sequence[object]]) -> bool:
    """Whether of each run its state and those of its two blocks have come."""
    return all(len(snapshot.get(run, ())) == 3 for run in runs)


async def test_a_snapshot_of_many_large_blocks_can_be_cut_after_every_run(client: Client) -> None:
    """So neither the server nor who resumes has to hold all of it at once."""
    runs = [await running(client) for _ in range(4)]
    large = {"x": "x" * 700_000}
    for run in runs:
        for name in "ab":
            await report(client, run.id, block(name, RUNNING, output_data=large))
    watch: dict[str, Any] = {"include_blocks": True, "view": View.VIEW_FULL}
    async with feeding(client, **watch) as seen:
        await seen.until(lambda: sum(map(len, seen.snapshot.values())) == 12)
    whole = {run.id: 0 for run in runs}
    assert len(seen.messages) >= 4
    for message in seen.messages[:-1]:
        for event in message.events:
            whole[event.task_record_id] += 1
        rest = {id_ for id_, told in whole.items() if told < 3}
        async with feeding(client, message.resume_token, **watch) as resumed:
            await resumed.until(partial(_are_whole, rest, resumed.snapshot))
            assert len(resumed.snapshot) - len(rest) <= 1
            assert {len(resumed.snapshot[id_]) for id_ in resumed.snapshot} <= {3}


async def test_a_snapshot_that_needs_two_messages_for_a_run_is_told_again_as_a_whole(
    client: Client,
) -> None:
    """Who has had the first of them alone has not had the run."""
    some, most = struct({"x": "x" * 200_000}), {"x": "x" * 1_000_000}
    small = await create(client, input=some)
    large = await running(client, input=struct(most))
    await report(client, large.id, block("a", RUNNING, input_data=most, output_data=most))
    watch: dict[str, Any] = {"include_blocks": True, "view": View.VIEW_FULL}
    async with feeding(client, **watch) as seen:
        await seen.until(lambda: sum(map(len, seen.snapshot.values())) == 3)
    assert [len(message.events) for message in seen.messages] == [2, 1]
    async with feeding(client, seen.messages[0].resume_token, **watch) as resumed:
        await resumed.until(lambda: len(resumed.snapshot.get(large.id, ())) == 2)
        assert len(resumed.snapshot.get(small.id, ())) == 1


async def test_what_the_snapshot_has_and_what_it_has_not_yet_may_be_read_together(
    client: Client, settings: Settings, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = (await running(client)).id

    async def between(*args: Any, **kwargs: Any) -> SnapshotPage:
        await report(client, run, block("a", RUNNING))
        page = await read_page(*args, **kwargs)
        await report(client, run, block("b", RUNNING), block("c", RUNNING))
        return page

    monkeypatch.setattr(feed, "read_page", between)
    async with (
        replica(settings, tenant, "none") as silent,
        feeding(silent, include_blocks=True) as seen,
    ):
        await seen.reach(run, 5)
        assert [event.seq for event in seen.snapshot[run]] == [2, 3]
        told = [(event.seq, event.block_record.block_id) for event in seen.changes[run]]
        assert told == [(4, "b"), (5, "c")]


async def test_who_is_given_the_page_of_another_is_told_what_happened_since_it_was_read(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catch_up, "KEPT_SECONDS", PATIENCE)
    for seconds in ("SETTLE_SECONDS", "POLL_SECONDS"):  # nor is the log read meanwhile
        monkeypatch.setattr(log, seconds, PATIENCE)
    async with feeding(client) as before:
        run = await create(client)
        await before.reach(run.id, 1)
        async with feeding(client) as one:
            assert [state.seq for state in one.snapshot[run.id]] == [1]
            await start(client, run.id)
            await one.reach(run.id, 2)
            async with feeding(client) as another:
                assert [state.seq for state in another.snapshot[run.id]] == [1]
                await another.reach(run.id, 2)
