"""Heartbeats of many executors share commits, and nothing else."""

import asyncio
from typing import Any

import grpc
from grpc import StatusCode
from vwed.v1.record_service_pb2 import FinishTaskRecordRequest, HeartbeatTaskRecordRequest
from vwed.v1.task_record_pb2 import TaskRecord

from tests.support.broken_rows import trouble
from tests.support.locks import locked
from tests.support.refusals import read_refusal, refusal
from tests.support.sharing import gathered
from tests.support.steps import (
    create,
    define,
    everything,
    get,
    let_lease_run_out,
    running,
    sql,
    start,
    struct,
)
from tests.support.waiting import PATIENCE
from vwed.client import Client, error_info
from vwed_grpc.domain.lifecycle import INTERRUPTED, SUCCEEDED
from vwed_grpc.storage.held_runs import SMALL_BYTES


async def beat(client: Client, run: str, **fields: Any) -> TaskRecord:
    given = {"executor_id": "robot-1", "lease_epoch": 1, **fields}
    return await client.records.HeartbeatTaskRecord(HeartbeatTaskRecordRequest(id=run, **given))


async def many(client: Client, count: int) -> list[TaskRecord]:
    """Ten at a time: their starts share nothing, and a busy machine may refuse a hundred."""
    task_def = (await define(client)).id
    runs: list[TaskRecord] = []
    while len(runs) < count:
        some = (running(client, task_def, lease=600) for _ in range(min(10, count - len(runs))))
        runs += await asyncio.gather(*some)
    return runs


async def test_100_heartbeats_at_once_need_few_transactions(
    client: Client, tenant: str, database_url: str
) -> None:
    runs = await many(client, 50)
    async with gathered(database_url, "task_records", tenant, 100):
        calls = [
            asyncio.create_task(beat(client, run.id, message=f"{n} of 2"))
            for n in (1, 2)
            for run in runs
        ]
    answers = await asyncio.gather(*calls)
    for before, after in zip([*runs, *runs], answers, strict=True):
        assert after.id == before.id
        assert after.lease_expire_time.ToNanoseconds() > before.lease_expire_time.ToNanoseconds()
        assert (after.seq, after.etag) == (before.seq, before.etag)
    for run, *two in zip(runs, answers[:50], answers[50:], strict=True):
        # They come in any order, and have one time if one transaction has both.
        newest = max(answer.update_time.ToNanoseconds() for answer in two)
        last = [answer for answer in two if answer.update_time.ToNanoseconds() == newest]
        assert await get(client, run.id) in last
        assert [answer.message for answer in two] == ["1 of 2", "2 of 2"]
    ((transactions,),) = await sql(
        database_url,
        "SELECT count(DISTINCT xmin::text) FROM task_records WHERE tenant = :tenant",
        tenant=tenant,
    )
    assert transactions <= 10


async def test_a_refused_heartbeat_does_not_concern_the_others(client: Client) -> None:
    runs = await many(client, 20)
    bad = [
        *(refusal(beat(client, run.id, lease_epoch=7)) for run in runs[:5]),
        *(refusal(beat(client, run.id, etag="another")) for run in runs[5:10]),
        *(refusal(beat(client, f"nowhere-{n}")) for n in range(5)),
    ]
    good = [asyncio.create_task(beat(client, run.id)) for run in runs]
    refusals = await asyncio.gather(*bad)
    assert [r.reason for r in refusals] == [
        *["LEASE_LOST"] * 5,
        *["ETAG_MISMATCH"] * 5,
        *["TASK_RECORD_NOT_FOUND"] * 5,
    ]
    for run, after in zip(runs, await asyncio.gather(*good), strict=True):
        assert after.lease_expire_time.ToNanoseconds() > run.lease_expire_time.ToNanoseconds()


async def test_a_heartbeat_of_no_run_leaves_the_commit_to_others(
    client: Client, tenant: str, database_url: str
) -> None:
    runs = await many(client, 30)
    names = [name for run in runs for name in (f"nowhere-{run.id}", run.id)]
    async with gathered(database_url, "task_records", tenant, 60):
        calls = [asyncio.create_task(beat(client, name)) for name in names]
    await asyncio.gather(*calls, return_exceptions=True)
    ((transactions,),) = await sql(
        database_url,
        "SELECT count(DISTINCT xmin::text) FROM task_records WHERE tenant = :tenant",
        tenant=tenant,
    )
    assert transactions <= 10


async def test_a_run_that_somebody_changes_keeps_no_other_waiting(
    client: Client, database_url: str
) -> None:
    busy, *free = await many(client, 10)
    async with locked(database_url, "task_records", "id", busy.id):
        waiting = asyncio.create_task(beat(client, busy.id))
        async with asyncio.timeout(PATIENCE):
            for _ in range(3):
                await asyncio.gather(*(beat(client, run.id) for run in free))
        assert not waiting.done()
    assert (await waiting).id == busy.id


async def test_a_heartbeat_that_postgres_cannot_take_fails_alone(
    client: Client, database_url: str
) -> None:
    bad, *good = await many(client, 20)
    async with trouble(database_url, "task_records", f"NEW.id = '{bad.id}'"):
        outcomes = await asyncio.gather(
            *(beat(client, run.id) for run in (*good, bad)), return_exceptions=True
        )
    *answers, failure = outcomes
    assert all(isinstance(answer, TaskRecord) for answer in answers)
    assert isinstance(failure, grpc.aio.AioRpcError)
    assert failure.code() is StatusCode.INTERNAL
    assert read_refusal(failure).reason


async def test_heartbeats_leave_nothing_in_the_history(client: Client) -> None:
    (run,) = await many(client, 1)
    await asyncio.gather(*(beat(client, run.id) for _ in range(20)))
    record, _, events = await everything(client, run.id)
    assert record.seq == len(events) == run.seq


async def test_each_is_answered_for_itself(client: Client, tenant: str, database_url: str) -> None:
    task_def = await define(client)
    good = [await running(client, task_def.id, lease=60) for _ in range(3)]
    lost = await running(client, task_def.id, lease=60)
    await start(client, lost.id, lease=60)  # by the same executor: a new epoch
    over = await running(client, task_def.id, lease=60)
    await let_lease_run_out(database_url, over.id)
    ended = await running(client, task_def.id, lease=60)
    await client.records.FinishTaskRecord(FinishTaskRecordRequest(id=ended.id, status=SUCCEEDED))
    ids = [good[0].id, lost.id, good[1].id, "nobody", over.id, ended.id, good[2].id]
    outcomes = await asyncio.gather(
        *(beat(client, id_, message="here") for id_ in ids), return_exceptions=True
    )
    of = dict(zip(ids, outcomes, strict=True))
    for run in good:
        after = of[run.id]
        assert isinstance(after, TaskRecord)
        assert after.message == "here"
    refused = {
        id_: (one.code(), info.reason)
        for id_, one in of.items()
        if isinstance(one, grpc.aio.AioRpcError) and (info := error_info(one))
    }
    assert refused == {
        lost.id: (StatusCode.FAILED_PRECONDITION, "LEASE_LOST"),
        "nobody": (StatusCode.NOT_FOUND, "TASK_RECORD_NOT_FOUND"),
    }
    interrupted, final = of[over.id], of[ended.id]
    assert isinstance(interrupted, TaskRecord)
    assert interrupted.status == INTERRUPTED
    assert interrupted == await get(client, over.id)
    assert isinstance(final, TaskRecord)
    assert (final.status, final.message) == (SUCCEEDED, "")


async def test_those_of_one_run_take_effect_in_the_order_in_which_they_arrive(
    client: Client, tenant: str, database_url: str
) -> None:
    run = await running(client, lease=60)
    async with gathered(database_url, "task_records", tenant, 50) as asked:
        calls = [asyncio.create_task(beat(client, run.id, message=f"{n}")) for n in range(50)]
    answers = await asyncio.gather(*calls)
    assert [answer.message for answer in answers] == [f"{n}" for n in range(50)]
    assert (await get(client, run.id)).message == asked[-1].message


async def test_an_answer_has_all_of_the_run_however_large(client: Client) -> None:
    config = {"inputs": [{"name": "a", "type": "string"}]}
    task_def = await define(client, config)
    sizes = [0, 10, SMALL_BYTES + 1, 500_000]
    runs = [await create(client, task_def.id, input=struct({"a": "x" * size})) for size in sizes]
    await asyncio.gather(*(start(client, run.id, lease=60) for run in runs))
    answers = await asyncio.gather(*(beat(client, run.id) for run in runs))
    for size, answer in zip(sizes, answers, strict=True):
        assert answer.input["a"] == "x" * size
        assert answer == await get(client, answer.id)
