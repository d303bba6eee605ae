"""Reports of many callers share commits, and nothing else."""

import asyncio

import grpc
import pytest
from grpc import StatusCode
from vwed.v1.record_service_pb2 import (
    ClaimTaskRecordsRequest,
    FinishTaskRecordRequest,
    HeartbeatTaskRecordRequest,
    ReportBlocksRequest,
    ReportBlocksResponse,
)

from tests.support.broken_rows import spoil, trouble
from tests.support.calls import set_entry
from tests.support.locks import locked
from tests.support.refusals import reason_of
from tests.support.sharing import gathered
from tests.support.steps import (
    block,
    blocks_of,
    create,
    define,
    everything,
    get,
    history,
    report,
    running,
    sql,
    struct,
)
from tests.support.waiting import PATIENCE
from vwed.client import Client, connect, error_info
from vwed_grpc.domain import lifecycle
from vwed_grpc.domain.blocks import FAILED, RUNNING, SUCCEEDED
from vwed_grpc.domain.errors import NotFound
from vwed_grpc.storage.pool import Pool
from vwed_grpc.writes import writer
from vwed_grpc.writes.flush import flush
from vwed_grpc.writes.reports import Answer, Report


async def test_100_reports_at_once_need_few_transactions(
    client: Client, tenant: str, database_url: str
) -> None:
    task_def = await define(client)
    runs = await asyncio.gather(*(running(client, task_def.id) for _ in range(25)))
    async with gathered(database_url, "task_records", tenant, 100):
        calls = [
            asyncio.create_task(report(client, run.id, block(f"b{n}", RUNNING)))
            for n in range(4)
            for run in runs
        ]
    await asyncio.gather(*calls)
    for run in runs:
        told = (await history(client, run.id))[2:]
        assert {e.block_record.block_id for e in told} == {"b0", "b1", "b2", "b3"}
        assert told[-1].block_counts.running == 4
    ((transactions,),) = await sql(
        database_url,
        "SELECT count(DISTINCT xact) FROM task_record_events WHERE tenant = :tenant AND kind = 2",
        tenant=tenant,
    )
    assert transactions <= 10


async def test_seqs_of_a_report_are_adjacent_however_many_report(client: Client) -> None:
    run = await running(client)
    answers = await asyncio.gather(
        *(
            report(client, run.id, *(block(f"{caller}.{n}", RUNNING) for n in range(5)))
            for caller in range(20)
        )
    )
    for answer in answers:
        first = answer.seqs[0]
        assert list(answer.seqs) == list(range(first, first + 5))
    told = (await history(client, run.id))[2:]
    assert len(told) == 100
    # Each report's last event carries the counts as they were then.
    counted = [(n, e.block_counts.running) for n, e in enumerate(told) if e.HasField("progress")]
    assert counted == [(n, n + 1) for n in range(4, 100, 5)]


async def test_the_same_block_from_many_callers_is_one(client: Client) -> None:
    run = await running(client)
    answers = await asyncio.gather(
        *(report(client, run.id, block("a", RUNNING, output_data={"x": 1})) for _ in range(20))
    )
    assert {tuple(answer.seqs) for answer in answers} == {(3,)}
    assert len({answer.block_records[0].id for answer in answers}) == 1
    assert len(await history(client, run.id)) == 3


async def test_a_bad_report_among_many_fails_alone(client: Client) -> None:
    task_def = await define(client)
    runs = await asyncio.gather(*(running(client, task_def.id) for _ in range(10)))
    waiting = await create(client, task_def.id)
    await asyncio.gather(*(report(client, run.id, block("a", SUCCEEDED)) for run in runs))
    good = [report(client, run.id, block(f"b{n}", RUNNING)) for run in runs for n in range(3)]
    bad = [
        *(report(client, run.id, block("c", RUNNING), block("a", FAILED)) for run in runs),
        *(report(client, run.id, block("c"), executor_id="robot-2") for run in runs),
        report(client, waiting.id, block("c")),
        report(client, "nowhere", block("c")),
    ]
    mixed = [call for pair in zip(good, bad, strict=False) for call in pair]
    rest = [*good[len(bad) :], *bad[len(good) :]]
    ends = await asyncio.gather(*mixed, *rest, return_exceptions=True)
    assert sum(isinstance(end, ReportBlocksResponse) for end in ends) == 30
    reasons: list[str] = []
    for end in ends:
        if isinstance(end, grpc.aio.AioRpcError):
            info = error_info(end)
            assert info is not None
            reasons.append(info.reason)
    assert sorted(reasons) == sorted(
        ["ILLEGAL_TRANSITION", "LEASE_LOST"] * 10 + ["RUN_NOT_REPORTABLE", "TASK_RECORD_NOT_FOUND"]
    )
    for run in runs:
        record, blocks, events = await everything(client, run.id)
        assert sorted(b.block_id for b in blocks) == ["a", "b0", "b1", "b2"]
        assert len(events) == record.seq == 6


async def test_reports_and_transitions_of_one_run_do_not_harm_each_other(client: Client) -> None:
    run = await running(client, lease=60)

    async def beat() -> None:
        for _ in range(10):
            await client.records.HeartbeatTaskRecord(
                HeartbeatTaskRecordRequest(id=run.id, executor_id="robot-1", lease_epoch=1)
            )

    async def reports(caller: int) -> None:
        for n in range(10):
            await report(client, run.id, block(f"{caller}.{n}", SUCCEEDED), lease_epoch=1)

    await asyncio.gather(*(reports(caller) for caller in range(5)), beat(), beat())
    record, blocks, events = await everything(client, run.id)
    assert (len(blocks), len(events), record.seq) == (50, 52, 52)
    assert record.block_counts.succeeded == 50
    assert record.etag == run.etag


async def test_a_report_of_no_run_leaves_the_commit_to_others(
    client: Client, tenant: str, pool: Pool
) -> None:
    run = (await running(client)).id
    reports = [
        Report(id_, [block(f"b{n}", RUNNING)], "", 0, "tester")
        for n, id_ in enumerate(["nobody", run, "nobody-2", run])
    ]
    outcomes, changed = await pool.run(lambda tx: flush(tx, tenant, reports))
    assert [isinstance(outcome, NotFound) for outcome in outcomes] == [True, False, True, False]
    assert [state.id for state in changed] == [run]
    assert [each.block_id for each in await blocks_of(client, run)] == ["b1", "b3"]


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_who_reports_one_block_is_answered_its_payload_whoever_else_reports_it(
    client: Client, tenant: str, pool: Pool, place: int
) -> None:
    run = (await running(client)).id
    await report(client, run, block("a", RUNNING, input_data={"x": 1}))
    reports = [
        Report(run, [block("a", message=str(n))], "", 0, "tester", single=n == place)
        for n in range(3)
    ]
    outcomes, _ = await pool.run(lambda tx: flush(tx, tenant, reports))
    answers = [outcome for outcome in outcomes if isinstance(outcome, Answer)]
    assert [answer.blocks[0].HasField("input_data") for answer in answers] == [
        n == place for n in range(3)
    ]
    assert answers[place].blocks[0].input_data == struct({"x": 1})


async def test_an_operators_report_takes_no_renewal_from_the_holders(
    client: Client, database_url: str
) -> None:
    run = await running(client, lease=60)
    async with locked(database_url, "task_records", "id", run.id):
        reports = [
            asyncio.create_task(
                report(client, run.id, block("a"), executor_id="robot-1", lease_epoch=1)
            ),
            asyncio.create_task(report(client, run.id, block("b"))),
        ]
        await asyncio.sleep(0.1)  # so that one flush has both, or they prove nothing
    await asyncio.gather(*reports)
    renewed = await get(client, run.id, strong=True)
    assert renewed.lease_expire_time.ToNanoseconds() > run.lease_expire_time.ToNanoseconds()


async def test_a_run_that_ends_amid_reports_takes_none_after_its_end(client: Client) -> None:
    run = await running(client)
    answered: list[int] = []

    async def reports(caller: int) -> None:
        for n in range(50):
            try:
                answer = await report(client, run.id, block(f"{caller}.{n}", RUNNING))
            except grpc.aio.AioRpcError as exc:
                assert exc.code() is StatusCode.FAILED_PRECONDITION  # noqa: PT017 - it may not come
                return
            answered.extend(answer.seqs)

    async def finish() -> None:
        await asyncio.sleep(0.05)
        await client.records.FinishTaskRecord(
            FinishTaskRecordRequest(id=run.id, status=lifecycle.FAILED)
        )

    await asyncio.gather(*(reports(caller) for caller in range(4)), finish())
    record, blocks, events = await everything(client, run.id)
    assert len(blocks) == len(answered)
    assert sorted(answered) == list(range(3, 3 + len(answered)))
    assert record.seq == len(events) == 2 + 2 * len(answered) + 1
    assert record.block_counts.canceled == len(answered)
    assert events[-1].task_record.status == lifecycle.FAILED


async def test_a_caller_who_leaves_harms_nobody(client: Client) -> None:
    run = await running(client)
    leaving = [asyncio.create_task(report(client, run.id, block(f"x{n}"))) for n in range(10)]
    staying = [asyncio.create_task(report(client, run.id, block(f"y{n}"))) for n in range(10)]
    await asyncio.sleep(0.002)
    for task in leaving:
        task.cancel()
    answers = await asyncio.gather(*staying)
    assert len({answer.seqs[0] for answer in answers}) == 10
    record = await get(client, run.id, strong=True)
    assert record.seq == 2 + len(await blocks_of(client, run.id))


async def test_a_full_queue_is_waited_for_and_then_refused(
    client: Client, target: str, tenant: str, database_url: str
) -> None:
    task_def = (await define(client)).id
    busy, free = [(await running(client, task_def)).id for _ in range(2)]
    async with connect(target, tenant=f"{tenant}-2", bare=True) as elsewhere:
        others = (await running(elsewhere)).id
        async with locked(database_url, "task_records", "id", busy):
            batch = [block(f"b{n}", RUNNING) for n in range(1_000)]
            held = [
                asyncio.create_task(report(client, busy, *batch))
                for _ in range(writer.QUEUE_BLOCKS // len(batch))
            ]
            request = ReportBlocksRequest(task_record_id=free, block_records=[block("b", RUNNING)])
            call = client.records.ReportBlocks
            async with asyncio.timeout(PATIENCE):
                while not (reason := await reason_of(call(request, timeout=2))):
                    pass  # what is held has not come in yet
            assert reason == "QUEUE_FULL"
            await report(elsewhere, others, block("b", RUNNING))
            request.block_records[0].block_id = "c"
            waiting = call(request, timeout=60)
            await asyncio.sleep(0.1)
            assert not waiting.done()
            for task in held:
                task.cancel()
        assert len((await waiting).seqs) == 1
    blocks = await blocks_of(client, free)
    assert [b.block_id for b in blocks] in (["b", "c"], ["c"])


async def test_a_report_that_postgres_cannot_take_fails_alone(
    client: Client, tenant: str, database_url: str
) -> None:
    """However often it comes: those that share its transaction are written, in their order."""
    task_def = await define(client)
    bad, *good = await asyncio.gather(*(running(client, task_def.id) for _ in range(31)))
    async with trouble(database_url, "block_records", f"NEW.task_record_id = '{bad.id}'"):
        for round_ in range(2):
            outcomes = await asyncio.gather(
                *(
                    report(client, run.id, block(f"b{round_}-{n}", RUNNING))
                    for n in range(4)
                    for run in (bad, *good)
                ),
                return_exceptions=True,
            )
            failed = [one for one in outcomes if isinstance(one, BaseException)]
            assert len(failed) == 4
            for failure in failed:
                assert isinstance(failure, grpc.aio.AioRpcError)
                assert failure.code() is StatusCode.INTERNAL
    assert not await blocks_of(client, bad.id)
    for run in good:
        assert len(await blocks_of(client, run.id)) == 8
        await history(client, run.id)
    await report(client, bad.id, block("b", RUNNING))


async def test_an_entry_that_postgres_cannot_take_fails_alone(
    client: Client, database_url: str
) -> None:
    run = await running(client)
    async with trouble(
        database_url, "data_cache", f"NEW.task_record_id = '{run.id}' AND NEW.key = 'k7'"
    ):
        outcomes = await asyncio.gather(
            *(set_entry(client, run.id, f"k{n}", int_value=n) for n in range(40)),
            return_exceptions=True,
        )
    assert [n for n, one in enumerate(outcomes) if isinstance(one, BaseException)] == [7]


async def test_a_run_that_cannot_be_read_is_claimed_by_nobody_and_blocks_nobody(
    client: Client, database_url: str
) -> None:
    task_def = await define(client)
    first, *rest = [await create(client, task_def.id, priority=9 - n) for n in range(3)]
    await spoil(database_url, first.id)
    request = ClaimTaskRecordsRequest(executor_id="robot-1", max_count=5, include_interrupted=True)
    claimed = await client.records.ClaimTaskRecords(request)
    assert [run.id for run in claimed.task_records] == [run.id for run in rest]
