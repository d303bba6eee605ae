"""How long runs wait for their first executor."""

import sqlalchemy as sa

from vwed_grpc.storage.pool import Pool

_LOOKED_AT = 1_000
"""Pairs of tenant and task type with a run that waits."""
_SHOWN = 20

# From one pair to the next along the index `task_records_pending`, on which the oldest run of each
# comes first: however many wait, a pair costs one look.
_OLDEST = sa.text("""
    WITH RECURSIVE pair (n, tenant, task_type, create_time) AS (
        (SELECT 1, tenant, task_type, create_time FROM task_records WHERE status = 1
          ORDER BY tenant, task_type, create_time LIMIT 1)
        UNION ALL
        SELECT n + 1, next.* FROM pair CROSS JOIN LATERAL (
            SELECT tenant, task_type, create_time FROM task_records o
             WHERE status = 1 AND (o.tenant, o.task_type) > (pair.tenant, pair.task_type)
             ORDER BY tenant, task_type, create_time LIMIT 1) next
         WHERE n < :looked_at)
    SELECT tenant, task_type,
           extract(epoch FROM clock_timestamp() - create_time)::float8 AS seconds
      FROM pair ORDER BY create_time LIMIT :shown
""").bindparams(looked_at=_LOOKED_AT, shown=_SHOWN)


async def oldest(pool: Pool) -> dict[tuple[str, str], float]:
    """The age in seconds of the oldest PENDING run by tenant and task type, where it is highest."""
    found = await pool.select(_OLDEST)
    return {(row.tenant, row.task_type): row.seconds for row in found}
