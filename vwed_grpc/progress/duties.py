"""What happens without a call: leases that run out, entries that expire, retention.

Any replica can do it and, by an advisory lock within each transaction, one at a time does. The lock
lives and dies with its transaction, so a replica that is frozen or killed holds nobody up.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import SQLAlchemyError

from vwed_grpc.progress.commit import Committer, Effects
from vwed_grpc.progress.runs import RunChange
from vwed_grpc.storage import data_cache, due, idempotency, task_records
from vwed_grpc.storage.database import Database, Transaction

log = structlog.get_logger("vwed.duties")

Pass = Callable[[Transaction, Effects, str], Awaitable[int]]
"""Does some of a tenant's due work, a batch at the most; answers how much."""


@dataclass(frozen=True)
class Duty:
    """A kind of work: which tenants have some of it, and how a batch of it is done."""

    name: str
    every: float
    """Seconds between looks."""
    tenants: sa.Executable
    batch: int
    work: Pass


class Duties:
    """Runs every duty at its interval until cancelled; failures are tried again."""

    def __init__(self, database: Database, committer: Committer, duties: list[Duty]) -> None:
        self._database = database
        self._committer = committer
        self._duties = duties

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for duty in self._duties:
                tasks.create_task(self._follow(duty))

    async def _follow(self, duty: Duty) -> None:
        failing = False
        while True:
            try:
                for row in await self._database.fetch(duty.tenants):
                    while await self._once(duty, row.tenant) >= duty.batch:
                        pass
                failing = False
            except (SQLAlchemyError, OSError, TimeoutError) as exc:
                if not failing:  # an outage is one piece of news, however long it lasts
                    log.warning("duty failed", duty=duty.name, error=type(exc).__name__)
                failing = True
            await asyncio.sleep(duty.every)

    async def _once(self, duty: Duty, tenant: str) -> int:
        async def work(tx: Transaction, effects: Effects) -> int:
            if not await due.mine(tx, duty.name, tenant):
                return 0
            return await duty.work(tx, effects, tenant)

        return await self._committer.run(work)


async def _expire_leases(tx: Transaction, effects: Effects, tenant: str) -> int:
    runs = await task_records.lock_expired(tx, tenant, LEASES.batch)
    for run in runs:
        await RunChange(tx, effects, tenant, run).expire()
    return len(runs)


async def _sweep_entries(tx: Transaction, _: Effects, tenant: str) -> int:
    # An expired entry is absent with or without its row, so nobody needs to be told.
    return await data_cache.sweep(tx, tenant, ENTRIES.batch)


async def _sweep_keys(tx: Transaction, _: Effects, tenant: str) -> int:
    return await idempotency.sweep(tx, tenant, KEYS.batch)


LEASES = Duty("leases", 0.5, due.LEASES, 100, _expire_leases)
"""The contract gives 2 s from the end of a lease to what follows from it."""
ENTRIES = Duty("entries", 5.0, due.ENTRIES, 500, _sweep_entries)
KEYS = Duty("request ids", 60.0, due.KEYS, 500, _sweep_keys)
