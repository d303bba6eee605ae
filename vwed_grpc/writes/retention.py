"""Pruning: runs that ended long ago go with all that is theirs, old events go run by run."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import datetime

from vwed_grpc.domain.lifecycle import FINAL
from vwed_grpc.domain.retention import Retention, of_tenant
from vwed_grpc.storage import due, events, pruning, run_tree
from vwed_grpc.storage.chunks import chunks
from vwed_grpc.storage.pool import Pool
from vwed_grpc.storage.pruning import START, Candidate, Old, Place
from vwed_grpc.storage.transaction import Transaction
from vwed_grpc.writes.commit import Committer, Effects
from vwed_grpc.writes.deletion import delete_runs
from vwed_grpc.writes.duties import Duty, Turn

BATCH = 100
"""Runs in one transaction: their locks are short, and other work goes on in between."""
BATCH_BLOCKS = 50_000
"""Blocks in one transaction, or those of one run."""
RETENTION_REASON = "retention"


async def prunable(pool: Pool, old: Old) -> AsyncIterator[list[Candidate]]:
    """The runs that can be pruned, the ones that ended first before others, in batches."""
    after: Place | None = START
    while after is not None:
        found, after = await _page(pool, old, after)
        for some in chunks(found, BATCH):
            yield some


async def _page(pool: Pool, old: Old, after: Place) -> tuple[list[Candidate], Place | None]:
    """Those that can be pruned of the next page, and where another one begins."""

    async def read(tx: Transaction) -> tuple[list[Candidate], Place | None]:
        candidates, end = await pruning.page(tx, old, after)
        needed = await run_tree.needed(tx, old.tenant, [one.id for one in candidates])
        return [one for one in candidates if one.id not in needed], end

    return await pool.run(read, commit=False)


async def count(pool: Pool, old: Old, limit: int) -> int:
    """How many runs can be pruned, counting no further than `limit`."""
    found = 0
    async for some in prunable(pool, old):
        found += len(some)
        if found >= limit:
            break
    return min(found, limit)


async def prune_runs(
    committer: Committer, pool: Pool, old: Old, limit: int, actor: str, reason: str
) -> int:
    """Deletes up to `limit` old runs, in batches; answers how many."""
    pruned = 0
    async for found in prunable(pool, old):
        for batch in _batches(found[: limit - pruned]):

            async def work(
                tx: Transaction, effects: Effects, batch: list[Candidate] = batch
            ) -> int:
                return await _prune(tx, effects, old, batch, actor, reason)

            pruned += await committer.run(pool, work)
        if pruned >= limit:
            break
    return pruned


def _batches(candidates: list[Candidate]) -> Iterator[list[Candidate]]:
    """What one transaction each may take."""
    batch: list[Candidate] = []
    for one in candidates:
        if batch and sum(c.blocks for c in batch) + one.blocks > BATCH_BLOCKS:
            yield batch
            batch = []
        batch.append(one)
    if batch:
        yield batch


async def _prune(
    tx: Transaction,
    effects: Effects,
    old: Old,
    candidates: list[Candidate],
    actor: str,
    reason: str,
) -> int:
    """Deletes those of the candidates that nothing has happened to since; answers how many."""
    locked = await pruning.lock(tx, old, candidates)
    if not locked:
        return 0
    below = await run_tree.lock_below(tx, old.tenant, locked)
    # Once more, for now it remains so: a run may have been made below one, or retry one.
    needed = await run_tree.needed(tx, old.tenant, list(locked))
    doomed = {id_: record for id_, record in locked.items() if id_ not in needed}
    await delete_runs(tx, effects, old.tenant, doomed, below, actor, reason)
    return len(doomed)


def duty(rules: Mapping[str, Retention]) -> Duty:
    """The background duty that keeps to the rules."""

    async def keep_to_rules(turn: Turn) -> None:
        kept = of_tenant(rules, turn.tenant)
        now = await turn.run(_now)
        if kept.runs is not None and now is not None:
            old = Old(turn.tenant, now - kept.runs, FINAL)
            async for found in prunable(turn.pool, old):
                for batch in _batches(found):
                    await _prune_each(turn, old, batch)
        if kept.events is not None and now is not None:
            before = now - kept.events
            # How many runs' events fit a batch says nothing of what is left.
            while await turn.run(lambda tx, _: events.prune(tx, turn.tenant, before, BATCH)):
                pass

    return Duty("retention", 60.0, due.TENANTS, keep_to_rules)


async def _now(tx: Transaction, _: Effects) -> datetime:
    return tx.now


async def _prune_each(turn: Turn, old: Old, candidates: Sequence[Candidate]) -> None:
    """One that cannot be deleted keeps no other from it."""
    by_id = {one.id: one for one in candidates}

    async def prune(tx: Transaction, effects: Effects, ids: Sequence[str]) -> None:
        await _prune(tx, effects, old, [by_id[id_] for id_ in ids], "", RETENTION_REASON)

    await turn.each(list(by_id), prune)
