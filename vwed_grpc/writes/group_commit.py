"""Group commit: what many callers ask for at the same time is written in one transaction."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias, TypeVar

from vwed_grpc.batching import Again, Asked, Work
from vwed_grpc.storage.pool import Pool
from vwed_grpc.storage.transaction import Transaction
from vwed_grpc.writes.commit import Committer, Effects

K = TypeVar("K")
Q = TypeVar("Q")
A = TypeVar("A")

Write: TypeAlias = Callable[
    [Transaction, Effects, K, Sequence[Q]], Awaitable[Sequence[A | Exception]]
]
"""Writes what was asked for in a lane, and says what each came to."""

Flushed: TypeAlias = Callable[[int, float], None]
"""Takes how many questions a transaction had, and how many seconds it took."""


def group_commit(
    committer: Committer,
    pool: Pool,
    write: Write[K, Q, A],
    *,
    flushed: Flushed,
    wait_for_locks: bool = True,
) -> Work[K, Q, A]:
    """Work for a `Batcher`, each piece of which is one transaction.

    It is tried again while any of its callers waits. Unless it is to wait for the locks of others,
    a statement that meets one raises Locked. `flushed` hears of each that was committed.
    """

    async def work(lane: K, asked: Sequence[Asked[Q, A]]) -> Sequence[A | Exception]:
        async def attempt(tx: Transaction, effects: Effects) -> list[A | Exception]:
            # A later try must not write what a caller who left has meanwhile said elsewhere.
            waiting = [one for one in asked if not one.left]
            outcomes = await write(tx, effects, lane, [one.question for one in waiting])
            done = dict(zip(waiting, outcomes, strict=True))
            return [done[one] if one in done else Again() for one in asked]

        until = max(one.until for one in asked)
        clock = asyncio.get_running_loop().time
        began = clock()
        outcomes = await committer.run(
            pool, attempt, lambda: until - clock(), wait_for_locks=wait_for_locks
        )
        flushed(len(asked), clock() - began)
        return outcomes

    return work
