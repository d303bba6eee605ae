"""Group commit of heartbeats: hundreds of executors that say that they live share a transaction.

A run that somebody else is changing comes again, and keeps no other waiting.
"""

from collections.abc import Sequence
from functools import partial

from vwed.v1.record_service_pb2 import HeartbeatTaskRecordRequest
from vwed.v1.task_record_pb2 import TaskRecord

from vwed_grpc.batching import Again, Batcher, in_halves
from vwed_grpc.domain import lifecycle
from vwed_grpc.domain.errors import VwedError
from vwed_grpc.domain.lifecycle import HELD
from vwed_grpc.storage import free_runs, task_records
from vwed_grpc.storage.pool import Deadline, Pool
from vwed_grpc.storage.task_records import Run
from vwed_grpc.storage.transaction import Transaction
from vwed_grpc.writes.commit import Committer, Effects
from vwed_grpc.writes.group_commit import group_commit
from vwed_grpc.writes.runs import RunChange

FLUSH_RUNS = 100
"""A transaction takes at most these: reading and writing one costs the event loop 0.1 ms."""
QUEUE_RUNS = 10_000
LANES_AT_ONCE = 2


class Heartbeats:
    """Takes heartbeats and answers each once its lease is renewed."""

    def __init__(self, committer: Committer, pool: Pool) -> None:
        self._committer = committer
        self._pool = pool
        self._lanes: Batcher[str, HeartbeatTaskRecordRequest, TaskRecord | None] = Batcher(
            in_halves(group_commit(committer, pool, _write)),
            most=FLUSH_RUNS,
            ordering_key=lambda request: request.id,
            at_once=LANES_AT_ONCE,
            limit=QUEUE_RUNS,
        )

    async def beat(
        self, tenant: str, request: HeartbeatTaskRecordRequest, remaining: Deadline
    ) -> TaskRecord:
        """The run, as it is with what shared its transaction.

        Raises NotFound, Aborted, FailedPrecondition LEASE_LOST, and as `Batcher.ask` does.
        """
        record = await self._lanes.ask(tenant, request, remaining())
        if record is None:
            expire = partial(_expire, tenant=tenant, request=request)
            record = await self._committer.run(self._pool, expire, remaining)
        return record


async def _write(
    tx: Transaction, effects: Effects, tenant: str, requests: Sequence[HeartbeatTaskRecordRequest]
) -> list[TaskRecord | Exception | None]:
    """What each heartbeat came to; None: its lease ran out, which may be long work of its own."""
    runs, busy = await free_runs.lock(tx, tenant, {request.id for request in requests})
    renewed: dict[str, Run] = {}
    outcomes: list[TaskRecord | Exception | None] = []
    for request in requests:
        run = runs.get(request.id)
        if run is None:
            gone = request.id not in busy
            outcomes.append(task_records.missing(request.id) if gone else Again())
            continue
        change = RunChange(tx, effects, tenant, run)
        try:
            outcomes.append(_applied(change, request, renewed))
        except VwedError as refusal:
            outcomes.append(refusal)
    changes = [
        task_records.changed(tx, tenant, run, new_etag_too=False) for run in renewed.values()
    ]
    await task_records.write(tx, changes)
    for id_ in renewed:
        effects.run_changed(tenant, id_)
    return outcomes


def _applied(
    change: RunChange, request: HeartbeatTaskRecordRequest, renewed: dict[str, Run]
) -> TaskRecord | None:
    record = change.record
    task_records.check_etag(record, request.etag)
    holder = lifecycle.check_fence(record, request)
    if change.lease_ran_out():
        return None
    if record.status in HELD and (holder or request.message or request.robot_id):
        if holder:
            change.renew()
        record.message = request.message or record.message
        record.robot_id = request.robot_id or record.robot_id
        renewed[record.id] = change.run
    return record


async def _expire(
    tx: Transaction, effects: Effects, *, tenant: str, request: HeartbeatTaskRecordRequest
) -> TaskRecord:
    """A heartbeat never revives a run."""
    run = await task_records.lock(tx, tenant, request.id, request.etag)
    change = RunChange(tx, effects, tenant, run)
    lifecycle.check_fence(change.record, request)
    if change.lease_ran_out():
        await change.expire()
    return change.record
