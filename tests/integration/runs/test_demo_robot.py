"""The demo's robots do as operators tell them."""

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest
from vwed.v1.record_service_pb2 import (
    CancelTaskRecordRequest,
    PauseTaskRecordRequest,
    ResumeTaskRecordRequest,
)
from vwed.v1.task_record_pb2 import TaskRecord

from tests.support.steps import blocks_of, create, define, get, history
from tests.support.waiting import PATIENCE
from tests.support.watching import Watcher, watching
from vwed.client import Client, Executor
from vwed_grpc.demo.robot import employ
from vwed_grpc.domain.lifecycle import CANCELED, CANCELING, PAUSED, PAUSING, RUNNING, SUCCEEDED


def steps(name: str) -> list[dict[str, str]]:
    return [{"id": f"{name}{n}", "type": "nod"} for n in range(6)]


@pytest.fixture
async def run(client: Client, target: str, tenant: str) -> AsyncIterator[TaskRecord]:
    """In the hands of a robot: two branches at once, of half a second a block."""
    branches = {"left": steps("l"), "right": steps("r")}
    config = {"blocks": [{"id": "both", "type": "parallel", "children": branches}]}
    labels = {"demo.session": uuid.uuid4().hex}
    run = await create(client, (await define(client, config)).id, labels=labels)
    executor = Executor(target, "AMB-01", tenant=tenant, grace=0)
    employ(executor, "AMB-01", labels=labels, speed=0.3)
    serving = asyncio.create_task(executor.serve())
    yield run
    serving.cancel()
    await asyncio.wait([serving])


async def has(seen: Watcher, status: int) -> None:
    await seen.until(lambda: seen.changes[-1:] != [] and status in statuses(seen))
    assert status in statuses(seen)


def statuses(seen: Watcher) -> list[int]:
    return [e.task_record.status for e in seen.changes if e.HasField("task_record")]


async def paused(client: Client, seen: Watcher, run: str) -> None:
    """Pauses a run that is under way, until its robot stands still."""
    await seen.reach(5)
    await client.records.PauseTaskRecord(PauseTaskRecordRequest(id=run))
    await has(seen, PAUSED)
    # The other branch comes by, says where it is, and stands as well.
    async with asyncio.timeout(2 * PATIENCE):
        before = 0
        while (after := await get(client, run, strong=True)).seq != before:
            before = after.seq
            await asyncio.sleep(0.7)
    assert after.status == PAUSED


async def test_a_robot_stands_until_it_may_go_on(client: Client, run: TaskRecord) -> None:
    async with watching(client, run.id, 0) as seen:
        await paused(client, seen, run.id)
        await client.records.ResumeTaskRecord(ResumeTaskRecordRequest(id=run.id))
        await seen.end()
    told = [
        e.task_record.status for e in await history(client, run.id) if e.HasField("task_record")
    ]
    assert told[1:] == [RUNNING, PAUSING, PAUSED, RUNNING, SUCCEEDED]
    both, *below = await blocks_of(client, run.id)
    assert {block.parent_block_record_id for block in below} == {both.id}


async def test_a_robot_that_stands_can_be_canceled(client: Client, run: TaskRecord) -> None:
    async with watching(client, run.id, 0) as seen:
        await paused(client, seen, run.id)
        await client.records.CancelTaskRecord(CancelTaskRecordRequest(id=run.id))
        await seen.end()
    assert statuses(seen)[-2:] == [CANCELING, CANCELED]
