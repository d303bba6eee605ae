"""ClaimTaskRecords: the most urgent runs first, each to one claimer, and waiting for work."""

import asyncio
import uuid
from functools import partial
from itertools import count
from typing import Any

import pytest
from grpc import StatusCode
from vwed.v1.record_service_pb2 import (
    ClaimTaskRecordsRequest,
    DeleteTaskRecordRequest,
    ReleaseTaskRecordRequest,
)
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordFilter

from tests.integration.watching.test_watch_delivery import replica
from tests.support.steps import (
    count_all_time,
    create,
    define,
    get,
    history,
    let_lease_run_out,
    refused,
    running,
    seconds,
    sql,
    start,
    struct,
)
from tests.support.waiting import promptly, until_true
from vwed.client import Client, connect
from vwed_grpc.domain.lifecycle import INTERRUPTED, PENDING, RUNNING
from vwed_grpc.settings import Settings
from vwed_grpc.storage import due
from vwed_grpc.storage.connector import Connector
from vwed_grpc.storage.pool import Pool
from vwed_grpc.storage.transaction import Transaction
from vwed_grpc.writes import claims, expiry
from vwed_grpc.writes.claims import Claims


async def claim(client: Client, executor: str = "robot-1", **fields: Any) -> list[TaskRecord]:
    answer = await client.records.ClaimTaskRecords(
        ClaimTaskRecordsRequest(executor_id=executor, **fields)
    )
    return list(answer.task_records)


async def test_a_claim_starts_a_run(client: Client) -> None:
    waiting = await create(client)
    (run,) = await claim(client, reason="free")
    assert run.id == waiting.id
    assert (run.status, run.executor_id, run.lease_epoch) == (RUNNING, "robot-1", 1)
    assert run.start_time == run.update_time
    lease = run.lease_expire_time.ToNanoseconds() - run.update_time.ToNanoseconds()
    assert lease == 60 * 10**9
    assert await get(client, run.id) == run
    event = (await history(client, run.id))[-1]
    assert (event.seq, event.actor, event.reason) == (2, "tester", "free")
    assert await claim(client) == []


@pytest.mark.parametrize(("lease", "expected"), [(0, None), (1, 1), (86_400, 86_400)])
async def test_the_lease_is_what_was_asked_for(
    client: Client, lease: int, expected: int | None
) -> None:
    await create(client)
    (run,) = await claim(client, lease=seconds(lease))
    assert run.HasField("lease_expire_time") == (expected is not None)
    if expected:
        assert run.lease_expire_time.seconds - run.update_time.seconds == expected


async def test_priority_then_age_decides(client: Client) -> None:
    task_def = await define(client)
    made = [await create(client, task_def.id, priority=p) for p in (0, 5, -2, 5, 9, 0)]
    expected = [made[n].id for n in (4, 1, 3, 0, 5, 2)]
    first = [run.id for run in await claim(client)]
    assert first == expected[:1]
    assert [run.id for run in await claim(client, max_count=3)] == expected[1:4]
    assert [run.id for run in await claim(client, max_count=100)] == expected[4:]


async def test_a_claim_takes_no_more_than_its_answer_can_hold(client: Client) -> None:
    task_def = await define(client, {})
    large = struct({"x": "x" * 1_000_000})
    made = [(await create(client, task_def.id, input=large)).id for _ in range(5)]
    first = [run.id for run in await claim(client, max_count=10)]
    assert first == made[:3]
    assert {(await get(client, id_)).status for id_ in made[3:]} == {PENDING}
    assert [run.id for run in await claim(client, max_count=10)] == made[3:]


async def test_no_run_goes_to_two_claimers(client: Client) -> None:
    task_def = await define(client)
    made = [(await create(client, task_def.id)).id for _ in range(140)]
    claimed: dict[str, list[str]] = {f"robot-{n}": [] for n in range(8)}

    async def produce() -> None:
        made.extend([(await create(client, task_def.id)).id for _ in range(15)])

    async def consume(executor: str) -> None:
        for size in count():
            runs = await claim(client, executor, max_count=size % 5 + 1, wait=seconds(0.3))
            if not runs:
                return
            assert {run.executor_id for run in runs} == {executor}
            assert all(r.start_time.ToNanoseconds() >= r.create_time.ToNanoseconds() for r in runs)
            claimed[executor] += [run.id for run in runs]

    await asyncio.gather(*(produce() for _ in range(4)), *(consume(robot) for robot in claimed))
    together = [id_ for ids in claimed.values() for id_ in ids]
    assert len(together) == len(made) == 200
    assert set(together) == set(made)


async def test_a_claim_that_waits_is_woken_by_a_new_run(client: Client) -> None:
    task_def = await define(client)
    loop = asyncio.get_running_loop()

    async def woken() -> float:
        claiming = asyncio.create_task(claim(client, wait=seconds(20)))
        await asyncio.sleep(0.1)
        assert not claiming.done()
        began = loop.time()
        run = await create(client, task_def.id)
        assert [claimed.id for claimed in await claiming] == [run.id]
        return loop.time() - began

    await promptly(woken, below=0.5)


async def test_a_run_that_was_interrupted_wakes_who_wants_it(
    client: Client, database_url: str
) -> None:
    loop = asyncio.get_running_loop()

    async def woken() -> float:
        run = await running(client, lease=60)
        claiming = asyncio.create_task(
            claim(client, "robot-2", include_interrupted=True, wait=seconds(20))
        )
        await asyncio.sleep(0.1)
        began = loop.time()
        await let_lease_run_out(database_url, run.id)
        (claimed,) = await claiming
        assert (claimed.id, claimed.executor_id, claimed.lease_epoch) == (run.id, "robot-2", 2)
        return loop.time() - began

    await promptly(woken, below=3)


async def test_a_claim_answers_none_after_its_wait(client: Client) -> None:
    loop = asyncio.get_running_loop()

    async def took(wait: float) -> float:
        began = loop.time()
        assert await claim(client, wait=seconds(wait)) == []
        assert loop.time() - began >= wait
        return loop.time() - began

    await promptly(partial(took, 0), below=0.2)
    await promptly(partial(took, 0.3), below=0.8)


async def test_a_claimer_who_left_takes_nothing(client: Client) -> None:
    claiming = asyncio.create_task(claim(client, wait=seconds(20)))
    await asyncio.sleep(0.1)
    claiming.cancel()
    task_def = await define(client)  # later, on the same connection
    run = await create(client, task_def.id)
    await asyncio.sleep(0.1)
    assert (await get(client, run.id)).status == PENDING


async def test_the_filter_says_which_runs(client: Client) -> None:
    task_def = await define(client, task_type="lift")
    await create(client, priority=9)
    await create(client, task_def.id, priority=5)
    wanted = await create(client, task_def.id, labels={"hall": "b", "zone": "1"})
    lifts = TaskRecordFilter(task_types=["lift", "push"], labels={"hall": "b"})
    assert [run.id for run in await claim(client, filter=lifts, max_count=5)] == [wanted.id]
    assert await claim(client, filter=lifts) == []


async def test_interrupted_runs_are_claimed_if_asked_for(client: Client, database_url: str) -> None:
    run = await running(client, lease=60)
    assert await claim(client, "robot-2", include_interrupted=True) == []
    await let_lease_run_out(database_url, run.id)
    assert await claim(client, "robot-2") == []
    # It waits, for the sweeper may be at the run at this very moment.
    (claimed,) = await claim(client, "robot-2", include_interrupted=True, wait=seconds(5))
    assert (claimed.id, claimed.status, claimed.lease_epoch) == (run.id, RUNNING, 2)
    assert claimed.start_time == run.start_time
    statuses = [event.task_record.status for event in await history(client, run.id)]
    assert statuses == [PENDING, RUNNING, INTERRUPTED, RUNNING]


async def test_interrupted_runs_and_new_ones_have_one_order(client: Client) -> None:
    task_def = await define(client)
    made = [await create(client, task_def.id, priority=p) for p in (1, 5, 5, 9, 1)]
    for n in (4, 3, 2):
        await start(client, made[n].id)
        await client.records.ReleaseTaskRecord(
            ReleaseTaskRecordRequest(id=made[n].id, executor_id="robot-1", lease_epoch=1)
        )
    claimed = await claim(client, "robot-2", include_interrupted=True, max_count=9)
    assert [run.id for run in claimed] == [made[n].id for n in (3, 1, 2, 0, 4)]
    assert [run.lease_epoch for run in claimed] == [2, 1, 2, 1, 2]


async def test_however_many_leases_ran_out_the_most_urgent_run_is_claimed(
    client: Client, database_url: str, tenant: str
) -> None:
    task_def = await define(client)
    for _ in range(110):
        await running(client, task_def.id, lease=60)
    urgent = await running(client, task_def.id, lease=60, id="zzz", priority=9)
    pool = Pool(Connector(database_url), connections=2)

    async def with_the_sweeper_away(tx: Transaction) -> list[TaskRecord]:
        while not await due.mine(tx, expiry.LEASES.name, tenant):  # noqa: ASYNC110 - it is elsewhere
            await asyncio.sleep(0.01)
        await count_all_time(database_url)
        await sql(
            database_url,
            "UPDATE task_records SET lease_expire_time = clock_timestamp() - interval '1 ms'"
            " WHERE tenant = :tenant RETURNING id",
            tenant=tenant,
        )
        return await claim(client, "robot-2", include_interrupted=True)

    (claimed,) = await pool.run(with_the_sweeper_away)
    await pool.close()
    assert claimed.id == urgent.id


async def test_a_request_id_claims_once(client: Client) -> None:
    task_def = await define(client)
    for _ in range(5):
        await create(client, task_def.id)
    request_id = str(uuid.uuid4())
    tries = [claim(client, max_count=2, request_id=request_id) for _ in range(4)]
    answers = [[run.id for run in runs] for runs in await asyncio.gather(*tries)]
    assert answers == [answers[0]] * 4
    assert len(answers[0]) == 2
    await start(client, answers[0][0])  # present state: the second epoch
    again = await claim(client, max_count=2, request_id=request_id)
    assert [run.lease_epoch for run in again] == [2, 1]
    with refused(StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED"):
        await claim(client, max_count=3, request_id=request_id)
    assert len(await claim(client, max_count=100)) == 3


async def test_a_claim_is_repeated_by_who_cannot_wait_any_more(client: Client) -> None:
    task_def = await define(client)
    request_id = str(uuid.uuid4())
    waiting = asyncio.create_task(claim(client, wait=seconds(20), request_id=request_id))
    run = await create(client, task_def.id)
    assert [r.id for r in await waiting] == [run.id]
    await create(client, task_def.id)
    assert [r.id for r in await claim(client, request_id=request_id)] == [run.id]


async def test_a_claim_that_is_repeated_answers_what_is_still_there(client: Client) -> None:
    task_def = await define(client)
    first, second = [(await create(client, task_def.id)).id for _ in range(2)]
    request_id = str(uuid.uuid4())
    assert len(await claim(client, max_count=2, request_id=request_id)) == 2
    await client.records.DeleteTaskRecord(DeleteTaskRecordRequest(id=first, force=True))
    again = await claim(client, max_count=2, request_id=request_id)
    assert [run.id for run in again] == [second]


async def test_a_claim_of_nothing_leaves_its_request_id_free(client: Client) -> None:
    request_id = str(uuid.uuid4())
    assert await claim(client, request_id=request_id) == []
    run = await create(client)
    assert [r.id for r in await claim(client, request_id=request_id)] == [run.id]


async def test_nothing_is_claimed_across_tenants(client: Client, target: str) -> None:
    await create(client)
    async with connect(target, tenant=f"other-{uuid.uuid4().hex}", bare=True) as other:
        assert await claim(other, max_count=100) == []


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"executor_id": ""}, "executor_id"),
        ({"lease": seconds(0.5)}, "lease"),
        ({"lease": seconds(86_401)}, "lease"),
        ({"wait": seconds(61)}, "wait"),
        ({"max_count": 101}, "max_count"),
        ({"filter": TaskRecordFilter(statuses=[RUNNING])}, "filter.statuses"),
    ],
)
async def test_claims_out_of_bounds_are_refused(
    client: Client, fields: dict[str, Any], named: str
) -> None:
    with refused(StatusCode.INVALID_ARGUMENT) as refusal:
        await client.records.ClaimTaskRecords(
            ClaimTaskRecordsRequest(**{"executor_id": "robot-1", **fields})
        )
    assert refusal.fields == [named]


async def test_claims_that_come_at_once_get_different_runs(client: Client) -> None:
    task_def = (await define(client)).id
    runs = [(await create(client, task_def, priority=9 - n)).id for n in range(6)]
    counts = [1, 2, 1, 2, 1]
    answers = await asyncio.gather(
        *(claim(client, f"e{n}", max_count=most) for n, most in enumerate(counts))
    )
    assert [record.id for answer in answers for record in answer] == runs  # who came first, first
    assert [len(answer) for answer in answers] == [1, 2, 1, 2, 0]
    for n, answer in enumerate(answers):
        assert {(record.executor_id, record.lease_epoch) for record in answer} <= {(f"e{n}", 1)}


async def test_who_gets_none_because_others_took_the_most_looks_again(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "FLUSH_RUNS", 1)
    task_def = (await define(client)).id
    runs = {(await create(client, task_def)).id for _ in range(6)}
    answers = await asyncio.gather(*(claim(client, f"e{n}") for n in range(6)))
    assert {record.id for (record,) in answers} == runs


async def test_one_request_twice_at_once_is_one_claim(client: Client) -> None:
    task_def = (await define(client)).id
    for _ in range(3):
        await create(client, task_def)
    request_id = str(uuid.uuid4())
    answers = await asyncio.gather(*(claim(client, request_id=request_id) for _ in range(3)))
    assert len({record.id for answer in answers for record in answer}) == 1
    assert [answer[0].lease_epoch for answer in answers] == [1, 1, 1]


async def test_a_request_id_of_another_request_is_refused_alone(client: Client) -> None:
    await create(client)
    request_id = str(uuid.uuid4())
    await claim(client, request_id=request_id)
    run = await create(client)
    mine = asyncio.create_task(claim(client))
    with refused(StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED"):
        await claim(client, "another", request_id=request_id)
    assert [record.id for record in await mine] == [run.id]


async def test_many_claimers_who_wait_for_the_same_look_once(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When they come, when they are heard of, when there is something (which this server hears of
    twice), and when they leave; in between one of them looks for all."""
    looks = 0
    look = Claims.claim

    async def counted(*args: Any) -> list[TaskRecord]:
        nonlocal looks
        looks += 1
        return await look(*args)

    monkeypatch.setattr(Claims, "claim", counted)
    task_def = await define(client)
    waiting = [
        asyncio.ensure_future(claim(client, f"robot-{n}", wait=seconds(5))) for n in range(100)
    ]
    await until_true(lambda: looks >= 100)
    await asyncio.sleep(3)  # in which each looked three times, before
    await create(client, task_def.id)
    found = [runs for runs in await asyncio.gather(*waiting) if runs]
    assert len(found) == 1
    assert looks <= 600


async def test_a_claim_that_waits_finds_what_no_wake_up_told_of(
    settings: Settings, client: Client, tenant: str
) -> None:
    """Two servers that do not hear of each other; a claim looks by itself, each time."""
    async with replica(settings, tenant, None) as other:
        task_def = await define(client)
        claiming = [asyncio.create_task(claim(other, wait=seconds(60))) for _ in range(3)]
        while claiming:
            run = await create(client, task_def.id)
            await asyncio.wait(claiming, return_when=asyncio.FIRST_COMPLETED)
            found = [one for one in claiming if one.done()]
            assert [[task.id for task in await one] for one in found] == [[run.id]]
            claiming.remove(*found)
