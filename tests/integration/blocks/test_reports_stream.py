"""StreamBlockReports: many batches in flight, in order per run, each with its own outcome."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc
from grpc import StatusCode
from vwed.v1.block_record_pb2 import BlockRecord
from vwed.v1.record_service_pb2 import (
    CancelTaskRecordRequest,
    PauseTaskRecordRequest,
    StreamBlockReportsRequest,
    StreamBlockReportsResponse,
)

from tests.support.calls import finish_run
from tests.support.steps import (
    block,
    create,
    everything,
    get,
    history,
    running,
    sql,
    struct,
)
from vwed.client import Client, connect
from vwed_grpc.domain.blocks import FAILED, RUNNING, SUCCEEDED
from vwed_grpc.domain.lifecycle import CANCELING, PAUSING
from vwed_grpc.domain.lifecycle import RUNNING as RUN_RUNNING

INVALID = StatusCode.INVALID_ARGUMENT.value[0]
UNMET = StatusCode.FAILED_PRECONDITION.value[0]
MISSING = StatusCode.NOT_FOUND.value[0]


def batch(name: str, run: str, *blocks: BlockRecord, **fence: object) -> StreamBlockReportsRequest:
    return StreamBlockReportsRequest(
        batch_id=name,
        task_record_id=run,
        block_records=blocks,
        **fence,  # type: ignore[arg-type]  # executor_id, lease_epoch
    )


async def stream(
    client: Client, batches: Iterable[StreamBlockReportsRequest]
) -> list[StreamBlockReportsResponse]:
    """The answers, all of the batches being sent before the first is read."""

    async def sent() -> AsyncIterator[StreamBlockReportsRequest]:
        for one in batches:
            yield one

    return [answer async for answer in client.records.StreamBlockReports(sent())]


async def test_each_batch_is_answered_by_its_name(client: Client) -> None:
    run = await running(client)
    answers = await stream(
        client,
        [
            batch("first", run.id, block("a", RUNNING), block("b", RUNNING)),
            batch("second", run.id, block("a", RUNNING)),  # no change: the stored row's seq
            batch("", run.id, block("a", SUCCEEDED), executor_id="robot-1", lease_epoch=1),
        ],
    )
    assert [(a.batch_id, list(a.seqs)) for a in answers] == [
        ("first", [3, 4]),
        ("second", [3]),
        ("", [5]),
    ]
    assert {a.task_record_status for a in answers} == {RUN_RUNNING}
    assert not any(a.HasField("error") for a in answers)


async def test_batches_of_one_run_are_applied_as_they_were_sent(client: Client) -> None:
    """Many are in flight at once; after the one behind it, each would be refused."""
    runs = [await running(client) for _ in range(3)]
    batches = [
        batch(f"{run.id} {turn}", run.id, block("a", RUNNING, message=str(turn)))
        for turn in range(150)
        for run in runs
    ]
    batches += [batch(run.id, run.id, block("a", SUCCEEDED)) for run in runs]
    answers = await stream(client, batches)
    assert [a.batch_id for a in answers] == [b.batch_id for b in batches]
    assert not any(a.HasField("error") for a in answers)
    for run in runs:
        seqs = [a.seqs[0] for a in answers if a.batch_id.startswith(run.id)]
        assert seqs == list(range(3, 154))
        said = [e.block_record.message for e in await history(client, run.id, after_seq=2)]
        assert said[:-1] == [str(turn) for turn in range(150)]


async def test_many_batches_share_a_commit(client: Client, database_url: str) -> None:
    run = await running(client)
    await stream(client, [batch(str(n), run.id, block(f"b{n}", RUNNING)) for n in range(200)])
    (row,) = await sql(
        database_url,
        "SELECT count(DISTINCT xact) FROM task_record_events"
        " WHERE task_record_id = :run AND kind = 2",
        run=run.id,
    )
    assert row[0] < 100


async def test_a_bad_batch_fails_alone_and_writes_nothing(client: Client, target: str) -> None:
    run, ended = await running(client), await running(client)
    await finish_run(client, ended.id)
    async with connect(target, tenant="another", bare=True) as other:
        foreign = await running(other)
    large = struct({"x": "x" * (2 << 20)})
    bad = {
        "no blocks": (batch("no blocks", run.id), INVALID),
        "1,001 blocks": (
            batch("1,001 blocks", run.id, *(block(f"b{n}") for n in range(1001))),
            INVALID,
        ),
        "2 MiB": (batch("2 MiB", run.id, BlockRecord(block_id="l", output_data=large)), INVALID),
        "one bad": (batch("one bad", run.id, block("b", RUNNING), block("")), INVALID),
        "goes back": (batch("goes back", run.id, block("b", RUNNING), block("a", FAILED)), UNMET),
        "ended": (batch("ended", ended.id, block("a", RUNNING)), UNMET),
        "fenced": (batch("fenced", run.id, block("b", RUNNING), executor_id="robot-2"), UNMET),
        "old": (batch("old", run.id, block("b", RUNNING), lease_epoch=7), UNMET),
        "foreign": (batch("foreign", foreign.id, block("a", RUNNING)), MISSING),
        "nowhere": (batch("nowhere", "nowhere", block("a", RUNNING)), MISSING),
    }
    batches = [batch("begin", run.id, block("a", SUCCEEDED))]
    for name, (request, _) in bad.items():
        batches += [request, batch(f"after {name}", run.id, block("c", RUNNING, message=name))]
    answers = {a.batch_id: a for a in await stream(client, batches)}
    assert list(answers) == [b.batch_id for b in batches]
    for name, (_, code) in bad.items():
        assert answers[name].error.code == code, answers[name].error
        assert not answers[name].seqs
        assert len(answers[f"after {name}"].seqs) == 1
    details = answers["fenced"].error.details
    assert any(d.type_url.endswith("google.rpc.ErrorInfo") for d in details)
    assert any(d.type_url.endswith("google.rpc.RequestInfo") for d in details)
    assert {e.block_record.block_id for e in await history(client, run.id, after_seq=2)} == {
        "a",
        "c",
    }
    assert (await everything(client, ended.id))[0].seq == 3


async def test_bytes_that_are_no_batch_do_not_end_the_stream(
    client: Client, target: str, tenant: str
) -> None:
    run = await running(client)
    async with grpc.aio.insecure_channel(target) as channel:
        call: Any = channel.stream_stream(
            "/vwed.v1.RecordService/StreamBlockReports",
            response_deserializer=StreamBlockReportsResponse.FromString,
        )

        async def sent() -> AsyncIterator[bytes]:
            yield b"\xff\xff\xff"
            yield batch("good", run.id, block("a", RUNNING)).SerializeToString()

        answers = [a async for a in call(sent(), metadata=[("x-vwed-tenant", tenant)])]
    assert [(a.batch_id, a.error.code, list(a.seqs)) for a in answers] == [
        ("", INVALID, []),
        ("good", 0, [3]),
    ]


async def test_pause_and_cancel_arrive_with_the_next_answer(client: Client) -> None:
    run = await running(client)
    sending: asyncio.Queue[StreamBlockReportsRequest | None] = asyncio.Queue()

    async def sent() -> AsyncIterator[StreamBlockReportsRequest]:
        while (one := await sending.get()) is not None:
            yield one

    answers = aiter(client.records.StreamBlockReports(sent()))
    await sending.put(batch("1", run.id, block("a", RUNNING)))
    assert (await anext(answers)).task_record_status == RUN_RUNNING
    await client.records.PauseTaskRecord(PauseTaskRecordRequest(id=run.id))
    await sending.put(batch("2", run.id, block("a", RUNNING)))
    assert (await anext(answers)).task_record_status == PAUSING
    await client.records.CancelTaskRecord(CancelTaskRecordRequest(id=run.id))
    await sending.put(batch("3", run.id, block("a", SUCCEEDED)))
    assert (await anext(answers)).task_record_status == CANCELING
    await sending.put(None)
    assert [a async for a in answers] == []


async def test_a_stream_of_nothing_ends_well(client: Client) -> None:
    assert await stream(client, []) == []


async def test_a_run_that_waits_takes_no_batch(client: Client) -> None:
    run = await create(client)
    (answer,) = await stream(client, [batch("1", run.id, block("a", RUNNING))])
    assert answer.error.code == UNMET
    assert await get(client, run.id) == run
