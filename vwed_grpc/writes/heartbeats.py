"""Group commit of heartbeats: those of a tenant's runs that come at the same time share one.

A thousand robots then cost a few transactions a second, each of one lock and one update, where each
heartbeat by itself would take five round trips.
"""

from collections.abc import Sequence
from functools import partial

from vwed.v1.record_service_pb2 import HeartbeatTaskRecordRequest

from vwed_grpc.batching import Again, Batcher, in_halves
from vwed_grpc.domain import lifecycle
from vwed_grpc.domain.errors import VwedError
from vwed_grpc.domain.ids import check_etag
from vwed_grpc.domain.lifecycle import HELD
from vwed_grpc.storage import held_runs, rows, task_records
from vwed_grpc.storage.held_runs import HeldRun
from vwed_grpc.storage.pool import Deadline, Pool
from vwed_grpc.storage.transaction import Transaction
from vwed_grpc.writes.commit import Committer, Effects
from vwed_grpc.writes.group_commit import Flushed, group_commit
from vwed_grpc.writes.runs import RunChange

FLUSH_RUNS = 64
"""A transaction takes at most these: reading and writing one costs the event loop 0.1 ms."""
QUEUE_RUNS = 10_000
"""Heartbeats of a tenant that wait; further callers wait for room under their deadline."""
LANES_AT_ONCE = 2


class Heartbeats:
    """Takes heartbeats and answers each once its lease is renewed."""

    def __init__(self, committer: Committer, pool: Pool, flushed: Flushed) -> None:
        self._committer = committer
        self._pool = pool
        self.lanes: Batcher[str, HeartbeatTaskRecordRequest, bytes | None] = Batcher(
            in_halves(group_commit(committer, pool, _write, flushed=flushed)),
            most=FLUSH_RUNS,
            ordering_key=lambda request: request.id,
            at_once=LANES_AT_ONCE,
            limit=QUEUE_RUNS,
        )

    async def beat(
        self, tenant: str, request: HeartbeatTaskRecordRequest, remaining: Deadline
    ) -> bytes:
        """The run after it, serialized.

        Raises NotFound, Aborted, FailedPrecondition LEASE_LOST, and as `Batcher.ask` does.
        """
        answer = await self.lanes.ask(tenant, request, remaining())
        if answer is None:
            expire = partial(_expire, tenant=tenant, request=request)
            answer = await self._committer.run(self._pool, expire, remaining)
        return answer


async def _write(
    tx: Transaction, effects: Effects, tenant: str, requests: Sequence[HeartbeatTaskRecordRequest]
) -> list[bytes | Exception | None]:
    """What each heartbeat came to; None: its lease ran out, which may be long work of its own."""
    runs, busy = await held_runs.lock(tx, tenant, {request.id for request in requests})
    renewed: dict[str, HeldRun] = {}
    outcomes: list[bytes | Exception | None] = []
    for request in requests:
        run = runs.get(request.id)
        if run is None:
            gone = request.id not in busy
            outcomes.append(task_records.missing(request.id) if gone else Again())
            continue
        try:
            outcomes.append(_applied(tx, run, request, renewed))
        except VwedError as refusal:
            outcomes.append(refusal)
    if renewed:
        await held_runs.save(tx, tenant, [run.record for run in renewed.values()])
    for id_ in renewed:
        effects.run_changed(tenant, id_)
    return outcomes


def _applied(
    tx: Transaction,
    run: HeldRun,
    request: HeartbeatTaskRecordRequest,
    renewed: dict[str, HeldRun],
) -> bytes | None:
    record = run.record
    check_etag("task_record", record, request.etag)
    holder = lifecycle.check_fence(record, request)
    if record.status in HELD:
        if task_records.lease_ran_out(tx, record, run.lease):
            return None
        if holder and run.lease is not None:
            rows.put_time(record.lease_expire_time, tx.now + run.lease)
        if holder or request.message or request.robot_id:
            record.message = request.message or record.message
            record.robot_id = request.robot_id or record.robot_id
            rows.put_time(record.update_time, tx.now)
            renewed[record.id] = run
    return run.serialized()


async def _expire(
    tx: Transaction, effects: Effects, *, tenant: str, request: HeartbeatTaskRecordRequest
) -> bytes:
    run = await task_records.lock(tx, tenant, request.id, request.etag)
    lifecycle.check_fence(run.record, request)
    change = RunChange(tx, effects, tenant, run)
    if change.lease_ran_out():
        await change.expire()
    return change.record.SerializeToString()
