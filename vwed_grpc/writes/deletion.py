"""Deleting runs: each history says so last, and the runs below move up."""

from collections.abc import Mapping
from itertools import groupby
from operator import itemgetter

from vwed.v1.task_record_pb2 import TaskRecord

from vwed_grpc.domain.run_tree import Below, moves
from vwed_grpc.storage import events, pruning, rows, task_records
from vwed_grpc.storage.chunks import chunks
from vwed_grpc.storage.transaction import Transaction
from vwed_grpc.watching.events import deleted_event
from vwed_grpc.writes.commit import Effects
from vwed_grpc.writes.runs import RunChange, write_all

_MOVED_AT_ONCE = 40


async def delete_runs(
    tx: Transaction,
    effects: Effects,
    tenant: str,
    deleted: Mapping[str, TaskRecord],
    below: Mapping[str, Below],
    actor: str,
    reason: str,
) -> None:
    """Deletes exclusively locked runs with their blocks, labels and data caches.

    `below` has all runs below them, locked exclusively as well.
    """
    await _move_up(tx, effects, tenant, deleted, below, actor, reason)
    async for entries in pruning.delete(tx, tenant, list(deleted)):
        for id_, of_run in groupby(entries, itemgetter(0)):
            effects.entries_changed(tenant, id_, (key for _, key in of_run))
    told = []
    for record in deleted.values():
        record.seq += 1
        rows.put_time(record.update_time, tx.now)
        told.append((record.id, [deleted_event(record, actor, reason)]))
    await events.append(tx, tenant, told)
    for id_, news in told:
        effects.run_changed(tenant, id_, news)


async def _move_up(
    tx: Transaction,
    effects: Effects,
    tenant: str,
    deleted: Mapping[str, TaskRecord],
    below: Mapping[str, Below],
    actor: str,
    reason: str,
) -> None:
    """Every change of a run is an event; its etag is for what its callers change."""
    places = moves(deleted, below)
    for ids in chunks(places, _MOVED_AT_ONCE):
        moved = []
        for run in await task_records.lock_all(tx, tenant, ids):
            place = places[run.record.id]
            if place.root is not None:
                run.record.root_task_record_id = place.root
            if place.parent is not None:
                run.record.parent_task_record_id = place.parent
                run.record.parent_block_record_id = place.parent_block or ""
            change = RunChange(tx, effects, tenant, run)
            moved.append(await change.prepare(actor, reason, new_etag=False))
        await write_all(moved)
