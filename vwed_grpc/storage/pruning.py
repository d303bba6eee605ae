"""Deleting runs with all that is theirs, and finding those that are old enough."""

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from vwed.v1.task_record_pb2 import TaskRecord

from vwed_grpc.domain.lifecycle import Status
from vwed_grpc.storage import rows
from vwed_grpc.storage.paged_delete import PagedDelete
from vwed_grpc.storage.statement import Statement
from vwed_grpc.storage.transaction import Transaction

PAGE = 1_000
"""Runs that one reading goes through."""

_BLOCKS = PagedDelete("block_records", "first_seq", "bigint", -1)
_ENTRIES = PagedDelete("data_cache", "key", "text", "")
_LABELS = Statement(
    "DELETE FROM task_record_labels"
    " WHERE tenant = :tenant AND task_record_id = ANY(CAST(:runs AS text[]))"
)
_RUNS = Statement(
    "DELETE FROM task_records WHERE tenant = :tenant AND id = ANY(CAST(:runs AS text[]))"
)


async def delete(
    tx: Transaction, tenant: str, runs: Sequence[str]
) -> AsyncIterator[list[tuple[str, str]]]:
    """Deletes exclusively locked runs; yields the (run, key)s of their data caches in pages."""
    async for _ in _BLOCKS.pages(tx, tenant, runs):
        pass
    async for entries in _ENTRIES.pages(tx, tenant, runs):
        yield entries
    of = {"tenant": tenant, "runs": list(runs)}
    await tx.fetch(_LABELS, of)
    await tx.fetch(_RUNS, of)


Place = tuple[str, str]
"""Where a run stands among those that ended: its end_time, as PostgreSQL writes it, and id."""


@dataclass(frozen=True, slots=True)
class Old:
    """Which runs are to be pruned, as far as each shows it by itself; never a pinned one."""

    tenant: str
    ended_before: datetime
    statuses: Collection[Status]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A run that is old enough to be pruned."""

    id: str
    parent: str
    """The run that it is below; "": none."""
    blocks: int
    """How many it has, in all attempts."""


START: Place = ("-infinity", "")


_PAGE = Statement("""
    SELECT id, parent_task_record_id, blocks_recorded, CAST(end_time AS text) AS ended,
           status = ANY(CAST(:statuses AS smallint[])) AND NOT pinned AS wanted
      FROM (SELECT * FROM task_records
             WHERE tenant = :tenant AND end_time < :before
               AND (end_time, id) > (CAST(CAST(:after_time AS text) AS timestamptz), :after_id)
             ORDER BY end_time, id LIMIT :limit) page
     ORDER BY page.end_time, id
""")


async def page(tx: Transaction, old: Old, after: Place) -> tuple[list[Candidate], Place | None]:
    """The candidates of one page, and where the next one begins, None after the last."""
    found = await tx.fetch(
        _PAGE,
        {
            "tenant": old.tenant,
            "before": old.ended_before,
            "statuses": [int(status) for status in old.statuses],
            "after_time": after[0],
            "after_id": after[1],
            "limit": PAGE,
        },
    )
    candidates = [
        Candidate(row.id, row.parent_task_record_id, row.blocks_recorded)
        for row in found
        if row.wanted
    ]
    return candidates, (found[-1].ended, found[-1].id) if len(found) == PAGE else None


_PARENTS = """
    SELECT id FROM task_records
     WHERE tenant = :tenant AND id = ANY(CAST(:ids AS text[])) ORDER BY id
"""
_EXISTING = Statement(_PARENTS)
_KEEP = Statement(f"{_PARENTS} FOR KEY SHARE SKIP LOCKED")
_LOCK = Statement("""
    SELECT id, seq, parent_task_record_id, parent_block_record_id, update_time
      FROM task_records
     WHERE tenant = :tenant AND id = ANY(CAST(:ids AS text[])) AND end_time < :before
       AND status = ANY(CAST(:statuses AS smallint[])) AND NOT pinned
     ORDER BY id FOR UPDATE SKIP LOCKED
""")


async def lock(tx: Transaction, old: Old, candidates: Sequence[Candidate]) -> dict[str, TaskRecord]:
    """Locks those that are still to be pruned, exclusively, with their parents kept.

    Those that somebody is changing, or whose parents, are left for another time. Answers what a
    deletion needs of each.
    """
    parents = {"tenant": old.tenant, "ids": sorted({c.parent for c in candidates if c.parent})}
    busy: set[str] = set()
    if parents["ids"]:
        kept = {row.id for row in await tx.fetch(_KEEP, parents)}
        busy = {row.id for row in await tx.fetch(_EXISTING, parents)} - kept
    known = {c.id: c.parent for c in candidates if c.parent not in busy}
    parameters: dict[str, Any] = {
        "tenant": old.tenant,
        "ids": list(known),
        "before": old.ended_before,
        "statuses": [int(status) for status in old.statuses],
    }
    locked: dict[str, TaskRecord] = {}
    for row in await tx.fetch(_LOCK, parameters):
        if row.parent_task_record_id == known[row.id]:
            tx.now = max(tx.now, row.update_time)
            locked[row.id] = TaskRecord(
                id=row.id,
                seq=row.seq,
                parent_task_record_id=row.parent_task_record_id,
                parent_block_record_id=row.parent_block_record_id,
            )
            rows.put_time(locked[row.id].update_time, row.update_time)
    return locked
