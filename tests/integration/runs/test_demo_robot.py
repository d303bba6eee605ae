"""The demo's robots do as operators tell them."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from vwed.v1.record_service_pb2 import (
    CancelTaskRecordRequest,
    PauseTaskRecordRequest,
    ResumeTaskRecordRequest,
)
from vwed.v1.task_record_pb2 import TaskRecord

from tests.support.steps import blocks_of, create, define, get, history, struct, until
from tests.support.waiting import PATIENCE
from tests.support.watching import Watcher, watching
from vwed.client import Client, Executor
from vwed_grpc.demo.robot import employ
from vwed_grpc.domain.lifecycle import (
    CANCELED,
    CANCELING,
    FAILED,
    PAUSED,
    PAUSING,
    RUNNING,
    SUCCEEDED,
)


def steps(name: str) -> list[dict[str, str]]:
    return [{"id": f"{name}{n}", "type": "nod"} for n in range(6)]


@asynccontextmanager
async def robot(target: str, tenant: str, *, speed: float) -> AsyncIterator[dict[str, str]]:
    """Drives the runs with these labels."""
    labels = {"demo.session": uuid.uuid4().hex}
    executor = Executor(target, "AMB-01", tenant=tenant, grace=0)
    employ(executor, "AMB-01", labels=labels, speed=speed)
    serving = asyncio.create_task(executor.serve())
    yield labels
    serving.cancel()
    await asyncio.wait([serving])


@pytest.fixture
async def run(client: Client, target: str, tenant: str) -> AsyncIterator[TaskRecord]:
    """In the hands of a robot: two branches at once, of half a second a block."""
    branches = {"left": steps("l"), "right": steps("r")}
    config = {"blocks": [{"id": "both", "type": "parallel", "children": branches}]}
    definition = await define(client, config)
    async with robot(target, tenant, speed=0.3) as labels:
        yield await create(client, definition.id, labels=labels)


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


async def test_turns_of_a_loop_have_their_items_and_hand_on_values(
    client: Client, target: str, tenant: str
) -> None:
    scan = {"code": "{{item.tote}}", "save": {"seen": "code"}}
    tell = {"event": "SEEN", "text": "{{cache.seen}} of {{input.order}}"}
    turn = [
        {"id": "scan", "type": "scan", "inputs": scan},
        {"id": "tell", "type": "report_to_wms", "inputs": tell},
    ]
    loop = {"id": "loop", "type": "for_each", "inputs": {"items": "{{input.totes}}"}}
    definition = await define(client, {"blocks": [loop | {"children": {"default": turn}}]})
    given = struct({"order": "SO-1", "totes": [{"tote": "T-1"}, {"tote": "T-2"}]})
    async with robot(target, tenant, speed=0) as labels:
        run = await create(client, definition.id, labels=labels, input=given)
        await until(client, run.id, SUCCEEDED)
    outer, *inner = await blocks_of(client, run.id)
    assert outer.output_data == struct({"turns": 2})
    assert {block.parent_block_record_id for block in inner} == {outer.id}
    assert [(block.block_id, block.iteration) for block in inner] == [
        ("scan", "1"),
        ("tell", "1"),
        ("scan", "2"),
        ("tell", "2"),
    ]
    assert [block.input_data["text"] for block in inner[1::2]] == ["T-1 of SO-1", "T-2 of SO-1"]


async def test_a_value_that_is_missing_fails_the_run(
    client: Client, target: str, tenant: str
) -> None:
    drive = {"id": "go", "type": "drive", "inputs": {"to": "{{cache.station}}"}}
    definition = await define(client, {"blocks": [drive]})
    async with robot(target, tenant, speed=0) as labels:
        run = await create(client, definition.id, labels=labels)
        failed = await until(client, run.id, FAILED)
    assert failed.error_code == "MISSING_VALUE"
    assert failed.error_message == "cache.station has no value"
