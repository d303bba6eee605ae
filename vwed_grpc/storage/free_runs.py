"""Runs that nobody else is changing, many at a time: who cannot have one does not wait for it."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from vwed_grpc.storage import task_records
from vwed_grpc.storage.statement import Statement
from vwed_grpc.storage.tables import task_records as table
from vwed_grpc.storage.task_records import Run
from vwed_grpc.storage.transaction import Transaction

_THESE = (
    sa.select(table)
    .where(
        table.c.tenant == sa.bindparam("tenant"),
        table.c.id == sa.any_(sa.bindparam("ids", type_=pg.ARRAY(table.c.id.type))),
    )
    .order_by(table.c.id)
)
_LOCK = Statement(_THESE.with_for_update(key_share=True, skip_locked=True))
_EXISTING = Statement(_THESE.with_only_columns(table.c.id))


async def lock(tx: Transaction, tenant: str, ids: set[str]) -> tuple[dict[str, Run], set[str]]:
    """The runs that could be locked, by id, and those that exist but are busy."""
    found = await tx.fetch(_LOCK, {"tenant": tenant, "ids": sorted(ids)})
    runs = {run.record.id: run for run in task_records.locked(tx, found)}
    return runs, await existing(tx, tenant, ids - runs.keys())


async def existing(tx: Transaction, tenant: str, ids: set[str]) -> set[str]:
    """Those of the ids that there are."""
    if not ids:
        return set()
    return {row.id for row in await tx.fetch(_EXISTING, {"tenant": tenant, "ids": sorted(ids)})}
