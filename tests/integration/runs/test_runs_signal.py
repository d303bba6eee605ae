"""SignalTaskRecord: a word to the executor, which is an event and changes nothing else."""

import asyncio
import uuid
from typing import Any

import pytest
from grpc import StatusCode
from vwed.v1.record_service_pb2 import SignalTaskRecordRequest
from vwed.v1.task_record_pb2 import TaskRecord

from tests.support.calls import finish_run
from tests.support.steps import (
    block,
    create,
    everything,
    get,
    history,
    refused,
    report,
    running,
    start,
    struct,
)
from tests.support.watching import watching
from vwed.client import Client
from vwed_grpc.domain.blocks import RUNNING


async def signal(client: Client, run: str, **fields: Any) -> TaskRecord:
    fields.setdefault("name", "retry_block")
    return await client.records.SignalTaskRecord(SignalTaskRecordRequest(id=run, **fields))


async def test_a_signal_is_an_event_and_leaves_the_run_as_it_is(client: Client) -> None:
    run = await running(client, lease=60)
    reported = (await report(client, run.id, block("a", RUNNING))).block_records[0]
    before = await get(client, run.id, strong=True)
    async with watching(client, run.id, 3) as seen:
        after = await signal(
            client,
            run.id,
            block_record_id=reported.id,
            payload=struct({"speed": 0.5}),
            reason="the aisle is blocked",
        )
        await seen.reach(4)  # the executor hears it at once
    (event,) = await history(client, run.id, after_seq=3)
    assert (event.actor, event.reason) == ("tester", "the aisle is blocked")
    assert (event.signal.name, event.signal.block_record_id) == ("retry_block", reported.id)
    assert event.signal.payload == struct({"speed": 0.5})
    assert seen.changes[0].signal == event.signal  # its payload is not what views leave out
    assert after.seq == 4
    after.seq = before.seq
    after.update_time.CopyFrom(before.update_time)
    assert after == before  # etag and lease included


async def test_a_run_that_waits_may_be_spoken_to(client: Client) -> None:
    run = await create(client)
    assert (await signal(client, run.id)).seq == 2
    assert not (await history(client, run.id))[1].signal.HasField("payload")
    assert (await start(client, run.id)).seq == 3


async def test_nobody_listens_to_a_run_that_has_ended(client: Client) -> None:
    run = await finish_run(client, (await running(client)).id)
    with refused(StatusCode.FAILED_PRECONDITION, "RUN_IS_FINAL"):
        await signal(client, run.id)
    assert await get(client, run.id) == run


async def test_the_block_must_be_one_of_the_run(client: Client) -> None:
    run, other = await running(client), await running(client)
    foreign = (await report(client, other.id, block("a", RUNNING))).block_records[0].id
    before = await everything(client, run.id)
    for block_record_id in ("nowhere", foreign):
        with refused(StatusCode.NOT_FOUND, "BLOCK_RECORD_NOT_FOUND"):
            await signal(client, run.id, block_record_id=block_record_id)
    assert await everything(client, run.id) == before


@pytest.mark.parametrize(("size", "taken"), [(65_536, True), (65_537, False)])
async def test_a_payload_has_at_most_64_kib(client: Client, size: int, taken: bool) -> None:
    run = await running(client)
    around = struct({"x": "x" * 60_000}).ByteSize() - 60_000
    payload = struct({"x": "x" * (size - around)})
    assert payload.ByteSize() == size
    if taken:
        await signal(client, run.id, payload=payload)
        return
    with refused(StatusCode.INVALID_ARGUMENT) as refusal:
        await signal(client, run.id, payload=payload)
    assert refusal.fields == ["payload"]


async def test_a_request_id_signals_once(client: Client) -> None:
    run = await running(client)
    request_id = str(uuid.uuid4())
    await asyncio.gather(*(signal(client, run.id, request_id=request_id) for _ in range(4)))
    await finish_run(client, run.id)
    # Even now: the same request is answered with what has become of the run.
    assert (await signal(client, run.id, request_id=request_id)).seq == 4
    with refused(StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED"):
        await signal(client, run.id, request_id=request_id, name="skip_block")
    assert len(await history(client, run.id)) == 4


async def test_an_etag_must_be_the_present_one(client: Client) -> None:
    run = await create(client)
    await start(client, run.id)
    with refused(StatusCode.ABORTED):
        await signal(client, run.id, etag=run.etag)
    assert len(await history(client, run.id)) == 2


async def test_an_etag_wins_over_a_known_request_id(client: Client) -> None:
    run = await create(client)
    given = {"name": "go", "etag": run.etag, "request_id": str(uuid.uuid4())}
    told = await signal(client, run.id, **given)
    assert await signal(client, run.id, **given) == told
    await start(client, run.id)
    with refused(StatusCode.ABORTED, "ETAG_MISMATCH"):
        await signal(client, run.id, **given)
