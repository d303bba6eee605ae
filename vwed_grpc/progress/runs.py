"""Changing a run: its new state, its event, and what its end does to its blocks, in one place."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from vwed.v1.block_record_pb2 import BlockRecord
from vwed.v1.task_record_event_pb2 import TaskRecordSignal
from vwed.v1.task_record_pb2 import TaskRecord

from vwed_grpc.domain.lifecycle import (
    CANCELED,
    FINAL,
    HELD,
    INTERRUPTED,
    PENDING,
    RUNNING,
    TRANSITIONS,
    Command,
    Status,
)
from vwed_grpc.progress.commit import Effects
from vwed_grpc.progress.events import block_event, deleted_event, run_event, signal_event
from vwed_grpc.storage import block_records, events, rows, task_records
from vwed_grpc.storage.database import Transaction
from vwed_grpc.storage.events import Event, Kind
from vwed_grpc.storage.task_records import Run


class RunChange:
    """The changes that one transaction makes to one locked run; each `write` is a transition."""

    def __init__(self, tx: Transaction, effects: Effects, tenant: str, run: Run) -> None:
        self.tx = tx
        self.effects = effects
        self.tenant = tenant
        self.run = run

    @property
    def record(self) -> TaskRecord:
        return self.run.record

    def take(self, executor_id: str, lease: timedelta) -> None:
        """An executor takes the run: a new epoch fences off whoever had it before."""
        self.record.executor_id = executor_id
        self.record.lease_epoch += 1
        self.run.lease = lease or None
        self.renew()

    def renew(self) -> None:
        """The lease begins anew, if the run has one."""
        self.record.ClearField("lease_expire_time")
        if self.run.lease is not None:
            rows.put_time(self.record.lease_expire_time, self.tx.now + self.run.lease)

    def lease_ran_out(self) -> bool:
        record = self.record
        return (
            record.status in HELD
            and record.HasField("lease_expire_time")
            and rows.moment(record.lease_expire_time) <= self.tx.now
        )

    async def expire(self) -> None:
        """What a lease that ran out does."""
        status = TRANSITIONS[Command.EXPIRE][self.record.status]
        if status == CANCELED:
            self.record.error_code = "EXECUTOR_LOST"
            self.record.error_message = "the executor's lease ran out while it was to cancel"
        await self.write("", "the lease ran out", status)

    async def create(self, actor: str, reason: str) -> None:
        """Inserts the new run and its first event."""
        self.run.run_seq = self.record.seq = 1
        await task_records.insert(self.tx, self.tenant, self.run)
        await self.tell([run_event(self.record, 1, actor, reason, input_set=True)])
        self.effects.claimable.add(self.tenant)

    async def write(
        self, actor: str, reason: str, status: Status | None = None, *, result_set: bool = False
    ) -> TaskRecord:
        """Writes the run with its event."""
        await write_all([await self.prepare(actor, reason, status, result_set=result_set)])
        return self.record

    async def prepare(
        self, actor: str, reason: str, status: Status | None = None, *, result_set: bool = False
    ) -> "Prepared":
        """The run after the change, and its event; `write_all` is to write both.

        A final status closes the blocks that are open, with an event each before the run's own.
        """
        record = self.record
        if status is not None:
            record.status = status
            record.status_actor, record.status_reason = actor, reason
            if status == RUNNING and not record.HasField("start_time"):
                rows.put_time(record.start_time, self.tx.now)
            if status in FINAL | {INTERRUPTED}:
                record.ClearField("lease_expire_time")
        ended = status in FINAL
        closed: list[BlockRecord] = []
        if ended:
            rows.put_time(record.end_time, self.tx.now)
            closed = await self._close_blocks()
        record.seq += 1 + len(closed)
        record.progress = rows.progress(record.block_counts, record.status)
        self.run.run_seq = record.seq
        if ended:
            self.run.final_seq = record.seq
        row = task_records.changed(self.tx, self.tenant, self.run)
        told = [block_event(record.id, b, record.seq, actor, reason) for b in closed]
        kind = Kind.FINISHED if ended else Kind.RUN
        told.append(run_event(record, record.seq, actor, reason, kind=kind, result_set=result_set))
        if status in (PENDING, INTERRUPTED):
            self.effects.claimable.add(self.tenant)
        return Prepared(self, row, told)

    async def signal(self, signal: TaskRecordSignal, actor: str, reason: str) -> TaskRecord:
        """Leaves a word to the executor: an event, nothing else."""
        self.record.seq += 1
        await task_records.save(self.tx, self.tenant, self.run, new_etag_too=False)
        await self.tell([signal_event(self.record, signal, actor, reason)])
        return self.record

    async def delete(self, actor: str, reason: str) -> None:
        """Deletes the run, its blocks and its data cache; the history stays, and says so last."""
        record = self.record
        record.seq += 1
        rows.put_time(record.update_time, self.tx.now)
        entries = await task_records.delete(self.tx, self.tenant, [record.id])
        self.effects.entries_changed(self.tenant, record.id, [key for _, key in entries])
        await self.tell([deleted_event(record, actor, reason)])

    async def _close_blocks(self) -> list[BlockRecord]:
        counts = self.record.block_counts
        still_open = counts.pending + counts.running + counts.paused
        closed = await block_records.close_open(
            self.tx, self.tenant, self.record.id, self.record.seq
        )
        # Earlier attempts may be open too; the counts know the latest alone.
        counts.canceled += still_open
        counts.pending = counts.running = counts.paused = 0
        return closed

    async def tell(self, told: list[Event]) -> None:
        """Appends events to the history, and to what is announced after the commit."""
        await events.append(self.tx, self.tenant, [(self.record.id, told)])
        self.effects.run_changed(self.tenant, self.record.id, told)


@dataclass(slots=True)
class Prepared:
    """A change of a run that is yet to be written."""

    change: RunChange
    row: Mapping[str, Any]
    told: list[Event]


async def write_all(prepared: Sequence[Prepared]) -> None:
    """Writes changes of different runs of one transaction, with their events, in two statements."""
    if not prepared:
        return
    first = prepared[0].change
    tx, tenant, effects = first.tx, first.tenant, first.effects
    await task_records.write(tx, [one.row for one in prepared])
    told = [(one.change.record.id, one.told) for one in prepared]
    await events.append(tx, tenant, told)
    for id_, news in told:
        effects.run_changed(tenant, id_, news)
