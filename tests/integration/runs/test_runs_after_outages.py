"""What an outage means for leases, whatever it was: servers go by when one last could write.

Here a test says that this was a minute ago; `tests/faults/test_outages.py` has real outages.
"""

from functools import partial
from typing import Any

from grpc import StatusCode
from vwed.v1.record_service_pb2 import ClaimTaskRecordsRequest, HeartbeatTaskRecordRequest
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordFilter

from tests.support.steps import (
    block,
    get,
    history,
    refused,
    report,
    running,
    sql,
    start,
    until,
)
from tests.support.waiting import until_true
from vwed.client import Client
from vwed_grpc.domain.lifecycle import INTERRUPTED, RUNNING

HOLDER: dict[str, Any] = {"executor_id": "robot-1", "lease_epoch": 1}
NOBODY_COULD_WRITE = (
    "UPDATE service_pulse SET beat = clock_timestamp() - interval '1 minute',"
    " reachable_since = '2000-01-01' RETURNING tenant"
)
ONE_CAN_AGAIN = "SELECT 1 FROM service_pulse WHERE beat > clock_timestamp() - interval '1 s'"
LEASES_RAN_OUT = (
    "UPDATE task_records SET lease_expire_time = clock_timestamp() - interval '30 s'"
    " WHERE tenant = :tenant AND lease_expire_time IS NOT NULL RETURNING id"
)


def left(run: TaskRecord, since: TaskRecord) -> float:
    """Seconds of a lease, from when another run was changed."""
    return (run.lease_expire_time.ToNanoseconds() - since.update_time.ToNanoseconds()) / 1e9


async def test_leases_have_their_whole_term_anew_before_any_is_acted_on(
    client: Client, database_url: str, tenant: str
) -> None:
    """And who is dead is found one term later."""
    dead = await running(client, lease=1)
    silent, reporting, beating, restarted = [await running(client, lease=60) for _ in range(4)]
    await sql(database_url, NOBODY_COULD_WRITE)
    for _ in ("amid the outage", "right after it"):
        await sql(database_url, LEASES_RAN_OUT, tenant=tenant)
        with refused(StatusCode.FAILED_PRECONDITION, "RUN_TAKEN"):
            await start(client, silent.id, "robot-2")
        claim = ClaimTaskRecordsRequest(
            executor_id="robot-2",
            include_interrupted=True,
            filter=TaskRecordFilter(ids=[silent.id]),
        )
        assert not (await client.records.ClaimTaskRecords(claim)).task_records
        await until_true(partial(sql, database_url, ONE_CAN_AGAIN), what="the next beat")
    again = await start(client, restarted.id, lease=60)  # by the executor that has it
    assert (again.status, again.lease_epoch, again.seq) == (RUNNING, 2, restarted.seq + 1)
    await report(client, reporting.id, block("a"), **HOLDER)
    beat = HeartbeatTaskRecordRequest(id=beating.id, **HOLDER)
    assert (await client.records.HeartbeatTaskRecord(beat)).status == RUNNING

    async def whole_term(run: TaskRecord) -> TaskRecord | None:
        now = await get(client, run.id, strong=True)
        return now if left(now, since=run) > 60 else None

    for run in (silent, reporting, beating):
        now = await until_true(partial(whole_term, run), what="a lease anew")
        assert now
        assert (now.status, now.lease_epoch, now.etag) == (RUNNING, 1, run.etag)
    assert len(await history(client, silent.id)) == 2
    lost = await until(client, dead.id, INTERRUPTED)
    assert lost.update_time.ToNanoseconds() - dead.update_time.ToNanoseconds() >= 10**9
    assert lost.lease_epoch == 1
