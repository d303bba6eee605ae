"""Changing a run: its new state, its event, and what its end does to its blocks, in one place."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from vwed.v1.task_record_event_pb2 import TaskRecordSignal
from vwed.v1.task_record_pb2 import TaskRecord

from vwed_grpc.domain.lifecycle import (
    CANCELED,
    FINAL,
    HELD,
    INTERRUPTED,
    RUNNING,
    TRANSITIONS,
    Command,
    Status,
)
from vwed_grpc.loop.turns import in_turns
from vwed_grpc.storage import block_records, events, rows, task_records
from vwed_grpc.storage.events import Event, Kind
from vwed_grpc.storage.task_records import Run
from vwed_grpc.storage.transaction import Transaction
from vwed_grpc.watching.events import block_event, run_event, signal_event
from vwed_grpc.writes.commit import Effects


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
        return record.status in HELD and task_records.lease_ran_out(self.tx, record, self.run.lease)

    async def expire(self) -> None:
        """What follows from the end of a lease; one whose time did not all count is put off."""
        if not self.lease_ran_out():
            await self._put_off()
            return
        self.effects.expired_leases += 1
        status = TRANSITIONS[Command.EXPIRE][self.record.status]
        if status == CANCELED:
            self.record.error_code = "EXECUTOR_LOST"
            self.record.error_message = "the executor's lease ran out while it was to cancel"
        await self.write("", "the lease ran out", status)

    async def _put_off(self) -> None:
        """The lease has its term from when the service could be reached again."""
        assert self.run.lease is not None  # noqa: S101 - what has no lease is not asked for
        until = self.tx.reachable_since + self.run.lease
        rows.put_time(self.record.lease_expire_time, until)
        await task_records.save(self.tx, self.tenant, self.run, new_etag_too=False)
        self.effects.run_changed(self.tenant, self.record.id)

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
        self,
        actor: str,
        reason: str,
        status: Status | None = None,
        *,
        result_set: bool = False,
        new_etag: bool = True,
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
        before = record.seq
        told: list[Event] = []
        if ended:
            rows.put_time(record.end_time, self.tx.now)
            told = await self._close_blocks(actor, reason)
        record.seq += 1
        record.progress = rows.progress(record.block_counts, record.status)
        self.run.run_seq = record.seq
        if ended:
            self.run.final_seq = record.seq
        row = task_records.changed(self.tx, self.tenant, self.run, new_etag_too=new_etag)
        kind = Kind.FINISHED if ended else Kind.RUN
        told.append(run_event(record, record.seq, actor, reason, kind=kind, result_set=result_set))
        if status == INTERRUPTED:
            self.effects.claimable.add(self.tenant)
        return Prepared(self, row, told, whole=before + len(told) == record.seq)

    async def signal(self, signal: TaskRecordSignal, actor: str, reason: str) -> TaskRecord:
        """Leaves a word to the executor: an event, nothing else."""
        self.record.seq += 1
        await task_records.save(self.tx, self.tenant, self.run, new_etag_too=False)
        await self.tell([signal_event(self.record, signal, actor, reason)])
        return self.record

    async def _close_blocks(self, actor: str, reason: str) -> list[Event]:
        """Cancels the blocks that are open, page by page; the run's own event is to follow.

        Answers the events that are yet to be written: those of the last page.
        """
        tx, tenant, record = self.tx, self.tenant, self.record
        counts = record.block_counts
        # Earlier attempts may be open too; the counts know the latest alone.
        counts.canceled += counts.pending + counts.running + counts.paused
        counts.pending = counts.running = counts.paused = 0
        page = await block_records.close_open(tx, tenant, record.id, record.seq)
        if not page:
            return []
        left = 0
        if len(page) == block_records.PAGE:
            left = await block_records.count_open(tx, tenant, record.id)
        group_seq = record.seq + len(page) + left + 1
        read = rows.block_records(tuple(page[0]._fields))

        def event_of(row: sa.Row[Any]) -> Event:
            return block_event(record.id, read(row), group_seq, actor, reason)

        async def go_on(told: list[Event], after: int) -> Sequence[sa.Row[Any]]:
            if told:
                await events.append(tx, tenant, [(record.id, told)])
            return await block_records.close_open(tx, tenant, record.id, record.seq, after=after)

        told: list[Event] = []
        record.seq += len(page)
        while left:
            # While PostgreSQL writes one page's events and closes the next, this one's are made.
            following, made = await asyncio.gather(
                go_on(told, page[-1].first_seq), in_turns(event_of, page)
            )
            page, told = following, made
            record.seq += len(page)
            left -= len(page)
        if told:
            await events.append(tx, tenant, [(record.id, told)])
        return await in_turns(event_of, page)

    async def tell(self, told: list[Event]) -> None:
        """Appends events to the history, and to what is announced after the commit."""
        await events.append(self.tx, self.tenant, [(self.record.id, told)])
        self.effects.run_changed(self.tenant, self.record.id, told, self.record.robot_id)


@dataclass(slots=True)
class Prepared:
    """A change of a run that is yet to be written."""

    change: RunChange
    row: Mapping[str, Any]
    told: list[Event]
    whole: bool
    """Whether `told` is all of it; else the events before are written."""


async def write_all(prepared: Sequence[Prepared]) -> None:
    """Writes changes of different runs of one transaction, with their events, in two statements."""
    if not prepared:
        return
    first = prepared[0].change
    tx, tenant, effects = first.tx, first.tenant, first.effects
    await task_records.write(tx, [one.row for one in prepared])
    await events.append(tx, tenant, [(one.change.record.id, one.told) for one in prepared])
    for one in prepared:
        record = one.change.record
        if one.whole:
            effects.run_changed(tenant, record.id, one.told, record.robot_id)
        else:
            effects.run_changed_much(tenant, record.id, record.seq)
