"""Runs below runs: who locks several of them begins at the top."""

from collections.abc import Iterable, Sequence

from vwed_grpc.domain.lifecycle import OPEN
from vwed_grpc.domain.run_tree import Below
from vwed_grpc.storage import task_records
from vwed_grpc.storage.chunks import chunks
from vwed_grpc.storage.statement import Statement
from vwed_grpc.storage.task_records import Run
from vwed_grpc.storage.transaction import Transaction

AT_ONCE = 500
"""Runs that one statement locks, or looks below."""

_PARENT = Statement(
    "SELECT parent_task_record_id AS parent FROM task_records WHERE tenant = :tenant AND id = :id"
)


async def lock_with_parent(
    tx: Transaction, tenant: str, id_: str, etag: str, *, exclusive: bool
) -> Run:
    """The run as `task_records.lock` does it, and its parent is kept.

    A parent that is gone has left its runs without one. Raises NotFound, Aborted.
    """
    found = await tx.fetch(_PARENT, {"tenant": tenant, "id": id_})
    known = found[0].parent if found else ""
    root = await task_records.lock_shared(tx, tenant, known) if known else None
    run = await task_records.lock(tx, tenant, id_, etag, exclusive=exclusive)
    record = run.record
    parent = record.parent_task_record_id
    if parent and parent != known:
        # It has moved up meanwhile. Against the order; if that meets another, one is tried again.
        root = await task_records.lock_shared(tx, tenant, parent)
    if parent and root is None:
        record.parent_task_record_id = record.parent_block_record_id = ""
        record.root_task_record_id = id_
    return run


_BELOW = Statement("""
    SELECT id FROM task_records
     WHERE tenant = :tenant AND parent_task_record_id <> ''
       AND parent_task_record_id = ANY(CAST(:parents AS text[]))
     ORDER BY id
""")
_LOCK = Statement("""
    SELECT id, parent_task_record_id AS parent, status FROM task_records
     WHERE tenant = :tenant AND id = ANY(CAST(:ids AS text[]))
       AND parent_task_record_id = ANY(CAST(:parents AS text[]))
     ORDER BY id FOR UPDATE
""")


async def lock_below(tx: Transaction, tenant: str, tops: Iterable[str]) -> dict[str, Below]:
    """Locks all runs below exclusively locked ones, exclusively; parents come before their runs.

    So nothing can be made below any of them while the transaction lasts.
    """
    below: dict[str, Below] = {}
    level: list[str] = list(tops)
    while level:
        found: dict[str, Below] = {}
        for parents in chunks(level, AT_ONCE):
            children = await tx.fetch(_BELOW, {"tenant": tenant, "parents": parents})
            for ids in chunks((row.id for row in children), AT_ONCE):
                locked = await tx.fetch(_LOCK, {"tenant": tenant, "parents": parents, "ids": ids})
                found.update((row.id, Below(row.parent, row.status)) for row in locked)
        for id_, run in found.items():
            below.pop(id_, None)  # one of the tops may stand below another: behind its parent then
            below[id_] = run
        level = list(found)
    return below


# Each look-up by itself: without statistics a plain join would read all runs of the tenant.
_OPEN = ", ".join(str(int(status)) for status in sorted(OPEN))
_NEEDED = Statement(f"""
    WITH RECURSIVE asked AS (
        SELECT a.id COLLATE "C" AS id FROM unnest(CAST(:ids AS text[])) AS a (id)
    ), below (id, parent, status) AS (
        SELECT c.id, a.id, c.status
          FROM asked a
         CROSS JOIN LATERAL (
               SELECT id, status FROM task_records
                WHERE tenant = :tenant AND parent_task_record_id = a.id
                  AND parent_task_record_id <> '' OFFSET 0) c
        UNION
        SELECT c.id, b.id, c.status
          FROM below b
         CROSS JOIN LATERAL (
               SELECT id, status FROM task_records
                WHERE tenant = :tenant AND parent_task_record_id = b.id
                  AND parent_task_record_id <> '' OFFSET 0) c
    ), above (id) AS (
        SELECT parent FROM below WHERE status IN ({_OPEN})
        UNION
        SELECT below.parent FROM above JOIN below ON below.id = above.id
    )
    SELECT id FROM asked JOIN above USING (id)
    UNION
    SELECT id
      FROM asked
     CROSS JOIN LATERAL (
           SELECT coalesce(nullif(retry_chain, ''), id) AS chain, attempt FROM task_records r
            WHERE r.tenant = :tenant AND r.id = asked.id OFFSET 0) run
     CROSS JOIN LATERAL (
           SELECT FROM task_records later
            WHERE later.tenant = :tenant AND later.retry_chain = run.chain
              AND later.retry_chain <> '' AND later.attempt > run.attempt
              AND later.status IN ({_OPEN})
            LIMIT 1) retried
""")  # noqa: S608 - numbers of our own


async def needed(tx: Transaction, tenant: str, ids: Sequence[str]) -> set[str]:
    """Those of the runs that have an open one below them, or later in their chain of retries."""
    return {row.id for row in await tx.fetch(_NEEDED, {"tenant": tenant, "ids": list(ids)})}
