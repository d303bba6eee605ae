"""What runs out by itself: leases, entries of the data cache, request ids."""

from collections.abc import Awaitable, Callable, Sequence

from vwed_grpc.storage import data_cache, due, idempotency, task_records
from vwed_grpc.storage.transaction import Transaction
from vwed_grpc.writes.commit import Effects
from vwed_grpc.writes.duties import Duty, Turn
from vwed_grpc.writes.runs import RunChange

LEASES_AT_ONCE = 100
SWEPT_AT_ONCE = 500


async def _expire_leases(turn: Turn) -> None:
    async def expire(tx: Transaction, effects: Effects, ids: Sequence[str]) -> None:
        for run in await task_records.lock_expired(tx, turn.tenant, ids):
            await RunChange(tx, effects, turn.tenant, run).expire()

    after = ""
    while ids := await task_records.expired(turn.pool, turn.tenant, after, LEASES_AT_ONCE):
        await turn.each(ids, expire)
        after = ids[-1]


def _sweeping(
    sweep: Callable[[Transaction, str, int], Awaitable[int]],
) -> Callable[[Turn], Awaitable[None]]:
    """Removes a tenant's rows that nobody can see any more, so that nobody needs to be told."""

    async def work(turn: Turn) -> None:
        while await turn.run(lambda tx, _: sweep(tx, turn.tenant, SWEPT_AT_ONCE)) == SWEPT_AT_ONCE:
            pass

    return work


LEASES = Duty("leases", 0.5, due.LEASES, _expire_leases, urgent=True)
"""The contract gives 2 s from the end of a lease to what follows from it."""
ENTRIES = Duty("entries", 5.0, due.ENTRIES, _sweeping(data_cache.sweep))
KEYS = Duty("request_ids", 60.0, due.KEYS, _sweeping(idempotency.sweep))
