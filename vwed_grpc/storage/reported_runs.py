"""Runs as reports change them: locked, and written back, many at a time."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from vwed.v1.task_record_pb2 import TaskRecordStatus

from vwed_grpc.domain.blocks import BLOCK_COUNTS
from vwed_grpc.storage.events import Event
from vwed_grpc.storage.statement import Statement
from vwed_grpc.storage.transaction import Transaction


@dataclass(slots=True)
class ReportedRun:
    """A locked run, as far as reports change it."""

    id: str
    status: TaskRecordStatus.ValueType
    executor_id: str
    robot_id: str
    lease_epoch: int
    renewable: bool
    """It has a lease, which has not run out."""
    seq: int
    config_blocks: int
    recorded: int
    counts: list[int]
    """By block status, from 1 on."""
    renewed: bool = False
    news: list[Event] = field(default_factory=list)


# Each by the index of ids, whenever it was planned: see `block_records`.
LOCK = Statement(f"""
    SELECT r.* FROM unnest(CAST(:ids AS text[])) AS k (id)
     CROSS JOIN LATERAL (
           SELECT id, status, executor_id, robot_id, lease_epoch, lease, lease_expire_time, seq,
                  config_blocks, blocks_recorded, update_time,
                  {", ".join(f"blocks_{name}" for name in BLOCK_COUNTS)}
             FROM task_records
            WHERE tenant = :tenant AND id >= k.id AND id <= k.id
            ORDER BY id OFFSET 0 FOR NO KEY UPDATE SKIP LOCKED) r
""")  # noqa: S608 - column names of our own
_EXISTING = Statement(
    "SELECT id FROM task_records WHERE tenant = :tenant AND id = ANY(CAST(:ids AS text[]))"
)


async def lock(
    tx: Transaction, tenant: str, ids: set[str]
) -> tuple[dict[str, ReportedRun], set[str]]:
    """The runs that could be locked, by id, and those that exist but are busy."""
    found = await tx.fetch(LOCK, {"tenant": tenant, "ids": sorted(ids)})
    runs = {}
    for row in found:
        tx.not_before(row.update_time)
        runs[row.id] = ReportedRun(
            row.id, row.status, row.executor_id, row.robot_id, row.lease_epoch,
            row.lease_expire_time is not None and not tx.ran_out(row.lease_expire_time, row.lease),
            row.seq, row.config_blocks, row.blocks_recorded, list(row[-len(BLOCK_COUNTS):]),
        )  # fmt: skip
    return runs, await existing(tx, tenant, ids - runs.keys())


async def existing(tx: Transaction, tenant: str, ids: AbstractSet[str]) -> set[str]:
    """Those of the runs that are there, locked by somebody or not."""
    if not ids:
        return set()
    found = await tx.fetch(_EXISTING, {"tenant": tenant, "ids": sorted(ids)})
    return {row.id for row in found}


_SAVED: dict[str, str] = {
    "seq": "bigint",
    "blocks_recorded": "int",
    **{f"blocks_{name}": "int" for name in BLOCK_COUNTS},
}
SAVE = Statement(f"""
    UPDATE task_records r
       SET {", ".join(f"{name} = u.{name}" for name in _SAVED)}, update_time = :now,
           lease_expire_time = CASE WHEN u.renewed THEN CAST(:now AS timestamptz) + r.lease
                                    ELSE r.lease_expire_time END
      FROM unnest(CAST(:ids AS text[]), CAST(:renewed AS boolean[]),
                  {", ".join(f"CAST(:{n} AS {t}[])" for n, t in _SAVED.items())})
           AS u (id, renewed, {", ".join(_SAVED)})
     WHERE r.tenant = :tenant AND r.id = ANY(CAST(:ids AS text[])) AND r.id = u.id
""")  # noqa: S608 - column names from the mapping above


def saved(tenant: str, now: datetime, changed: Sequence[ReportedRun]) -> dict[str, Any]:
    """The parameters of SAVE."""
    values: dict[str, Any] = {
        "tenant": tenant,
        "now": now,
        "ids": [run.id for run in changed],
        "renewed": [run.renewed for run in changed],
        "seq": [run.seq for run in changed],
        "blocks_recorded": [run.recorded for run in changed],
    }
    for n, name in enumerate(BLOCK_COUNTS):
        values[f"blocks_{name}"] = [run.counts[n] for run in changed]
    return values
