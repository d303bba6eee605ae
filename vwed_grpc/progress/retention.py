"""Pruning: runs that ended long ago go with all that is theirs, old events go run by run."""

from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from vwed_grpc.domain.lifecycle import FINAL
from vwed_grpc.domain.retention import Retention, of_tenant
from vwed_grpc.progress.commit import Committer, Effects
from vwed_grpc.progress.duties import Duty, Turn
from vwed_grpc.progress.events import deleted_event
from vwed_grpc.storage import due, events, rows, task_records
from vwed_grpc.storage.database import Transaction

BATCH = 100
"""Runs in one transaction: their locks are short, and other work goes on in between."""
RETENTION_REASON = "retention"


async def prune_runs(
    committer: Committer,
    tenant: str,
    where: Sequence[sa.ColumnElement[bool]],
    limit: int,
    actor: str,
    reason: str,
) -> int:
    """Deletes up to `limit` of the runs that `where` means, in batches; answers how many."""
    pruned = 0
    while pruned < limit:
        size = min(BATCH, limit - pruned)

        async def work(tx: Transaction, effects: Effects, size: int = size) -> int:
            return await delete_runs(tx, effects, tenant, where, size, actor, reason)

        done = await committer.run(work)
        pruned += done
        if done < size:
            break
    return pruned


async def delete_runs(
    tx: Transaction,
    effects: Effects,
    tenant: str,
    where: Sequence[sa.ColumnElement[bool]],
    limit: int,
    actor: str,
    reason: str,
) -> int:
    """Deletes runs with their blocks, labels and data caches; each history says so last."""
    runs = await task_records.lock_where(tx, where, limit)
    if not runs:
        return 0
    told = []
    for run in runs:
        run.record.seq += 1
        rows.put_time(run.record.update_time, tx.now)
        told.append((run.record.id, [deleted_event(run.record, actor, reason)]))
    entries = await task_records.delete(tx, tenant, [run.record.id for run in runs])
    await events.append(tx, tenant, told)
    for id_, news in told:
        effects.run_changed(tenant, id_, news)
    for id_, key in entries:
        effects.entries_changed(tenant, id_, [key])
    return len(runs)


def duty(rules: Mapping[str, Retention]) -> Duty:
    """The background duty that keeps to the rules."""

    async def keep_to_rules(turn: Turn) -> None:
        kept = of_tenant(rules, turn.tenant)

        async def batch(tx: Transaction, effects: Effects) -> bool:
            """Whether more may be left."""
            done = 0
            if kept.runs is not None:
                where = task_records.prunable(turn.tenant, tx.now - kept.runs, FINAL)
                done = await delete_runs(
                    tx, effects, turn.tenant, where, BATCH, "", RETENTION_REASON
                )
            # How many runs' events fit a batch says nothing of what is left.
            return done == BATCH or (
                kept.events is not None
                and await events.prune(tx, turn.tenant, tx.now - kept.events, BATCH)
            )

        while await turn.run(batch):
            pass

    return Duty("retention", 60.0, due.TENANTS, keep_to_rules)
