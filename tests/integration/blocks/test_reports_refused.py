"""Reports that are refused: as a whole, with nothing written."""

import pytest
from grpc import StatusCode
from vwed.v1.block_record_pb2 import BlockRecord, BlockRecordKey
from vwed.v1.record_service_pb2 import (
    CancelTaskRecordRequest,
    FinishTaskRecordRequest,
    PauseTaskRecordRequest,
    ReportBlockRequest,
    ReportBlocksRequest,
    RetryTaskRecordRequest,
    StreamBlockReportsRequest,
)

from tests.support.steps import (
    block,
    blocks_of,
    create,
    everything,
    get,
    let_lease_run_out,
    refused,
    report,
    running,
    start,
    until,
)
from vwed.client import Client
from vwed_grpc.domain import lifecycle
from vwed_grpc.domain.blocks import FAILED, PAUSED, RUNNING, SUCCEEDED
from vwed_grpc.writes import flush


async def test_a_run_that_waits_takes_none(client: Client) -> None:
    run = await create(client)
    before = await everything(client, run.id)
    with refused(StatusCode.FAILED_PRECONDITION, "RUN_NOT_REPORTABLE") as refusal:
        await report(client, run.id, block("a", RUNNING))
    assert refusal.metadata["status"] == "TASK_RECORD_STATUS_PENDING"
    assert await everything(client, run.id) == before


@pytest.mark.parametrize("status", [lifecycle.SUCCEEDED, lifecycle.FAILED, lifecycle.CANCELED])
async def test_a_run_that_has_ended_takes_none(client: Client, status: lifecycle.Status) -> None:
    run = await running(client)
    await report(client, run.id, block("a", SUCCEEDED))
    await client.records.FinishTaskRecord(FinishTaskRecordRequest(id=run.id, status=status))
    before = await everything(client, run.id)
    for late in (block("b", RUNNING), block("a", SUCCEEDED)):
        with refused(StatusCode.FAILED_PRECONDITION, "RUN_NOT_REPORTABLE"):
            await report(client, run.id, late)
    assert await everything(client, run.id) == before


async def test_every_other_run_takes_them(client: Client, database_url: str) -> None:
    run = await running(client, lease=60)
    said = [(await report(client, run.id, block("1"))).task_record_status]
    await client.records.PauseTaskRecord(PauseTaskRecordRequest(id=run.id))
    said.append((await report(client, run.id, block("2"))).task_record_status)
    await client.records.PauseTaskRecord(
        PauseTaskRecordRequest(id=run.id, executor_id="robot-1", lease_epoch=1)
    )
    said.append((await report(client, run.id, block("3"))).task_record_status)
    await let_lease_run_out(database_url, run.id)
    await until(client, run.id, lifecycle.INTERRUPTED)
    answer = await report(client, run.id, block("4"), executor_id="robot-1", lease_epoch=1)
    said.append(answer.task_record_status)
    canceling = await running(client)
    await client.records.CancelTaskRecord(CancelTaskRecordRequest(id=canceling.id))
    said.append((await report(client, canceling.id, block("5"))).task_record_status)
    assert said == [
        lifecycle.RUNNING,
        lifecycle.PAUSING,
        lifecycle.PAUSED,
        lifecycle.INTERRUPTED,
        lifecycle.CANCELING,
    ]
    assert len(await blocks_of(client, run.id)) == 4


@pytest.mark.parametrize(
    ("bad", "code", "reason"),
    [
        (
            block("done", FAILED),
            StatusCode.FAILED_PRECONDITION,
            "ILLEGAL_TRANSITION",
        ),
        (
            block("done", message="other"),
            StatusCode.FAILED_PRECONDITION,
            "BLOCK_IS_FINAL",
        ),
        (
            block("new", parent=BlockRecordKey(block_id="later")),
            StatusCode.NOT_FOUND,
            "BLOCK_RECORD_NOT_FOUND",
        ),
        (
            block("new", parent=BlockRecordKey(block_id="done", attempt=2)),
            StatusCode.NOT_FOUND,
            "BLOCK_RECORD_NOT_FOUND",
        ),
        (
            block("new", parent_block_record_id="nowhere"),
            StatusCode.NOT_FOUND,
            "BLOCK_RECORD_NOT_FOUND",
        ),
        (
            block("new", parent=BlockRecordKey(block_id="new")),
            StatusCode.INVALID_ARGUMENT,
            "INVALID_FIELD",
        ),
    ],
)
async def test_a_batch_is_taken_whole_or_not_at_all(
    client: Client, bad: BlockRecord, code: StatusCode, reason: str
) -> None:
    run = await running(client)
    await report(client, run.id, block("open", RUNNING), block("done", SUCCEEDED))
    before = await everything(client, run.id)
    with refused(code, reason):
        await report(
            client,
            run.id,
            block("open", PAUSED, output_data={"x": 1}),
            block("first", RUNNING),
            bad,
            block("later", RUNNING),
        )
    assert await everything(client, run.id) == before
    answer = await report(client, run.id, block("open", PAUSED), block("first", RUNNING))
    assert list(answer.seqs) == [5, 6]


async def test_a_parent_of_another_run_is_none(client: Client) -> None:
    run = await running(client)
    (theirs,) = (await report(client, run.id, block("a", RUNNING))).block_records
    other = await running(client, run.task_def_id)
    with refused(StatusCode.NOT_FOUND):
        await report(client, other.id, block("b", parent_block_record_id=theirs.id))


async def test_more_blocks_than_a_run_may_have(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All rows count: iterations, earlier attempts, and what a retry has brought along."""
    monkeypatch.setattr(flush, "MAX_BLOCKS", 3)
    run = await running(client)
    await report(client, run.id, block("a", FAILED), block("a", RUNNING, attempt=2))
    before = await everything(client, run.id)
    with refused(StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_BLOCKS"):
        await report(client, run.id, block("b", SUCCEEDED), block("b", iteration="1"))
    assert await everything(client, run.id) == before
    await report(client, run.id, block("b", SUCCEEDED), block("a", SUCCEEDED, attempt=2))
    await client.records.FinishTaskRecord(
        FinishTaskRecordRequest(id=run.id, status=lifecycle.FAILED)
    )
    retry = await client.records.RetryTaskRecord(
        RetryTaskRecordRequest(id=run.id, mode=RetryTaskRecordRequest.MODE_FROM_FAILURE)
    )
    await start(client, retry.id)
    assert {b.block_id for b in await blocks_of(client, retry.id)} == {"a", "b"}
    await report(client, retry.id, block("c", RUNNING))
    with refused(StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_BLOCKS"):
        await report(client, retry.id, block("d"))


async def test_a_run_that_is_not_there(client: Client) -> None:
    with refused(StatusCode.NOT_FOUND, "TASK_RECORD_NOT_FOUND"):
        await report(client, "nowhere", block("a"))


@pytest.mark.parametrize(
    ("bad", "path"),
    [
        (block(""), "block_id"),
        (block("x" * 129), "block_id"),
        (block("a", 99), "status"),  # type: ignore[arg-type]  # what a newer client might send
        (block("a", iteration="1."), "iteration"),
        (block("a", progress=1.01), "progress"),
        (block("a", attempt=-1), "attempt"),
        (block("a", message="x" * 513), "message"),
        (block("a", message="\0"), "message"),
        (block("a", parent=BlockRecordKey()), "parent.block_id"),
        (block("a", input_data={"x": float("inf")}), "input_data.x"),
    ],
)
async def test_bad_fields_are_named_by_their_path(
    client: Client, bad: BlockRecord, path: str
) -> None:
    run = await running(client)
    with refused(StatusCode.INVALID_ARGUMENT) as refusal:
        await report(client, run.id, block("fine"), bad)
    assert refusal.fields == [f"block_records[1].{path}"]
    with refused(StatusCode.INVALID_ARGUMENT) as refusal:
        await client.records.ReportBlock(
            ReportBlockRequest(task_record_id=run.id, block_record=bad)
        )
    assert refusal.fields == [f"block_record.{path}"]
    assert await blocks_of(client, run.id) == []


@pytest.mark.parametrize("size", [0, 1001])
async def test_a_batch_has_1_to_1000_blocks(client: Client, size: int) -> None:
    run = await running(client)
    with refused(StatusCode.INVALID_ARGUMENT) as refusal:
        await client.records.ReportBlocks(
            ReportBlocksRequest(
                task_record_id=run.id, block_records=[block(f"b{n}") for n in range(size)]
            )
        )
    assert refusal.fields == ["block_records"]


async def test_a_run_has_so_many_blocks_and_no_more(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flush, "MAX_BLOCKS", 2)  # the server is in this process
    run = await running(client)
    await report(client, run.id, block("a", RUNNING), block("b", RUNNING))
    with refused(StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_BLOCKS"):
        await report(client, run.id, block("a", SUCCEEDED), block("c", RUNNING))
    await report(client, run.id, block("b", SUCCEEDED))
    found = {each.block_id: each.status for each in await blocks_of(client, run.id)}
    assert found == {"a": RUNNING, "b": SUCCEEDED}


async def test_a_batch_of_1000(client: Client) -> None:
    run = await running(client)
    answer = await report(client, run.id, *(block(f"b{n}", SUCCEEDED) for n in range(1000)))
    assert list(answer.seqs) == list(range(3, 1003))
    assert [b.block_id for b in answer.block_records] == [f"b{n}" for n in range(1000)]
    assert await blocks_of(client, run.id) == list(answer.block_records)


async def test_a_run_has_at_most_200_000_blocks(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Iterations and attempts are blocks too; here it may have 5."""
    assert flush.MAX_BLOCKS == 200_000
    monkeypatch.setattr(flush, "MAX_BLOCKS", 5)
    run = await running(client)
    most = [block("a", FAILED), block("a", RUNNING, attempt=2), block("a", iteration="1")]
    await report(client, run.id, *most)
    await report(client, run.id, block("b", RUNNING), block("c", RUNNING))
    before = await everything(client, run.id)
    for more in ([block("d")], [block("b", SUCCEEDED), block("a", attempt=3)]):
        with refused(StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_BLOCKS"):
            await report(client, run.id, *more)
    assert await everything(client, run.id) == before
    await report(client, run.id, block("b", SUCCEEDED))


async def test_what_no_answer_holds_is_refused_before_it_is_written(client: Client) -> None:
    """A caller who is refused must be able to take it that nothing was done."""
    run = await running(client)
    message = "x" * 65_536
    for n in range(2):
        blocks = (block(f"b{n}-{m}", RUNNING, error_message=message) for m in range(40))
        await report(client, run.id, *blocks)
    names = [f"b{n}-{m}" for n in range(2) for m in range(40)]
    before = await get(client, run.id)
    with refused(StatusCode.RESOURCE_EXHAUSTED, "RESPONSE_TOO_LARGE"):
        await report(client, run.id, *(block(name, progress=0.5) for name in names))
    assert await get(client, run.id, strong=True) == before
    half = [block(name, progress=0.5) for name in names[:40]]
    assert len((await report(client, run.id, *half)).block_records) == 40
    # A stream is answered without blocks.
    rest = [block(name, progress=0.5) for name in names]
    request = StreamBlockReportsRequest(task_record_id=run.id, block_records=rest)
    (answer,) = [each async for each in client.records.StreamBlockReports(iter([request]))]
    assert (answer.error.code, len(answer.seqs)) == (0, 80)
