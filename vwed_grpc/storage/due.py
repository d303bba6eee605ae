"""Which tenants have work that is due, and whose turn it is to do it."""

import sqlalchemy as sa

from vwed_grpc.storage.data_cache import KEPT
from vwed_grpc.storage.transaction import Transaction

# Each is one read without a transaction around it: it may look over all tenants.
LEASES = sa.text("""
    SELECT DISTINCT tenant FROM task_records
     WHERE status IN (2, 3, 4, 5) AND lease IS NOT NULL AND lease_expire_time <= clock_timestamp()
""")
ENTRIES = sa.text("""
    SELECT DISTINCT tenant FROM data_cache
     WHERE expire_time <= clock_timestamp() - CAST(:kept AS interval)
       AND update_time <= clock_timestamp() - CAST(:kept AS interval)
""").bindparams(kept=KEPT)
KEYS = sa.text(
    "SELECT DISTINCT tenant FROM idempotency_keys WHERE expire_time <= clock_timestamp()"
)


def _tenants_of(table: str) -> str:
    """A tenant at a time along the index: a DISTINCT would read every row."""
    return f"""(WITH RECURSIVE t (tenant) AS (
        (SELECT tenant FROM {table} ORDER BY tenant LIMIT 1)
        UNION ALL
        SELECT (SELECT o.tenant FROM {table} o WHERE o.tenant > t.tenant ORDER BY o.tenant LIMIT 1)
          FROM t WHERE t.tenant IS NOT NULL)
    SELECT tenant FROM t WHERE tenant IS NOT NULL)"""  # noqa: S608 - table names of our own


# A run may outlive its events, and events their run.
TENANTS = sa.text(f"{_tenants_of('task_records')} UNION {_tenants_of('task_record_events')}")

_MINE = sa.text("SELECT pg_try_advisory_xact_lock(hashtextextended(:name, 0))")


async def mine(tx: Transaction, duty: str, tenant: str) -> bool:
    """Whether no other replica is at this duty of this tenant; true until the transaction ends."""
    return bool(await tx.session.scalar(_MINE, {"name": f"vwed {duty} {tenant}"}))
