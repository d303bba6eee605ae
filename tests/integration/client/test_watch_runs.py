"""Watching many runs over connections that break, on whichever replica there is."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest
from vwed.v1.record_service_pb2 import DeleteTaskRecordRequest, WatchTaskRecordsResponse
from vwed.v1.task_record_event_pb2 import TaskRecordEvent
from vwed.v1.task_record_pb2 import TaskRecordFilter

from tests.support.proxy import Proxy
from tests.support.steps import block, create, define, history, report, running
from tests.support.waiting import until_true
from vwed.client import Client, InvalidArgument, connect, watch_runs
from vwed_grpc.server import serving
from vwed_grpc.settings import Settings


class Seen:
    """What a watch has told so far."""

    def __init__(self) -> None:
        self.messages: list[WatchTaskRecordsResponse] = []
        self.events = defaultdict[str, list[TaskRecordEvent]](list)

    def take(self, message: WatchTaskRecordsResponse) -> None:
        self.messages.append(message)
        for event in message.events:
            self.events[event.task_record_id].append(event)

    def seqs(self, run: str) -> list[int]:
        return [event.seq for event in self.events[run]]

    async def reach(self, run: str, events: int = 1) -> None:
        """Waits until so many events of a run were told."""
        await until_true(lambda: len(self.seqs(run)) >= events, what="what the watch is to tell")


@asynccontextmanager
async def following(client: Client, token: str = "") -> AsyncIterator[Seen]:
    """Watches every run and its blocks while entered."""
    seen = Seen()

    async def follow() -> None:
        async for message in watch_runs(client, include_blocks=True, resume_token=token):
            seen.take(message)

    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(follow())
        await until_true(lambda: token or seen.messages, what="the snapshot")
        yield seen
        watching.cancel()


async def test_nothing_is_missed_or_told_twice_on_another_replica(
    settings: Settings, client: Client, behind: Client, link: Proxy
) -> None:
    definition = (await define(client)).id
    there = link.upstream
    async with serving(settings) as port, following(behind) as seen:
        runs = list[str]()
        for n in range(6):
            run = (await running(client, definition)).id
            runs.append(run)
            await report(client, run, block("a"), block("b"))
            if n % 2:
                await seen.reach(run)
            link.upstream = ("127.0.0.1", port) if n % 2 else there
            await link.cut()
            await report(client, runs[0], block(f"more-{n}"))
        for run in runs:
            told = [event.seq for event in await history(client, run)]
            await seen.reach(run, len(told))
            assert seen.seqs(run) == told


async def test_a_watch_of_another_process_goes_on_where_one_ended(
    target: str, tenant: str, client: Client
) -> None:
    run = (await running(client)).id
    async with following(client) as first:
        assert first.seqs(run) == [2], "its present state"
        await report(client, run, block("a"))
        await first.reach(run, 2)
        assert first.seqs(run) == [2, 3]
        token = first.messages[-1].resume_token
    await report(client, run, block("b"))
    async with connect(target, tenant=tenant) as other, following(other, token) as second:
        await until_true(lambda: second.seqs(run)[-1:] == [4], what="what came after")
        assert second.seqs(run) in ([4], [3, 4]), "the last before it may come again"


async def test_a_filter_and_a_deletion(client: Client) -> None:
    mine = (await create(client, labels={"of": "mine"})).id
    async with aclosing(watch_runs(client, TaskRecordFilter(labels={"of": "mine"}))) as messages:
        assert [e.task_record_id for e in (await anext(messages)).events] == [mine]
        await create(client)
        await client.records.DeleteTaskRecord(DeleteTaskRecordRequest(id=mine, force=True))
        async for message in messages:
            if message.events:
                break
        (event,) = message.events
        assert event.HasField("deleted")
        assert event.task_record_id == mine


async def test_a_token_that_leads_nowhere_is_told(client: Client) -> None:
    with pytest.raises(InvalidArgument):
        await anext(watch_runs(client, resume_token="nonsense"))
