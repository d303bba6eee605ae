"""Runs as heartbeats change them: locked, and written back, many at a time."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from vwed.v1.task_record_pb2 import TaskRecord

from vwed_grpc.domain.wire_format import field
from vwed_grpc.storage import models, rows, run_lists
from vwed_grpc.storage.reported_runs import existing
from vwed_grpc.storage.statement import Statement
from vwed_grpc.storage.transaction import Transaction

SMALL_BYTES = 16 << 10
"""Input and result that are larger are read run by run: many such would hold the event loop."""

c = models.TaskRecord.__table__.c
_IS_SMALL = sa.literal_column(
    f"coalesce(octet_length(input), 0) + coalesce(octet_length(result), 0) <= {SMALL_BYTES}",
    sa.Boolean,
)
_NAMES = tuple(column.name for column in run_lists.BASIC)
_LOCK = Statement(
    sa.select(
        *run_lists.BASIC,
        _IS_SMALL.label("small"),
        sa.case((_IS_SMALL, c.input)).label("input"),
        sa.case((_IS_SMALL, c.result)).label("result"),
    )
    .where(
        c.tenant == sa.bindparam("tenant"),
        c.id == sa.any_(sa.bindparam("ids", type_=pg.ARRAY(sa.Text))),
    )
    .order_by(c.id)
    .with_for_update(key_share=True, skip_locked=True)
)
_PAYLOAD = Statement(
    sa.select(c.input, c.result).where(
        c.tenant == sa.bindparam("tenant"), c.id == sa.bindparam("id")
    )
)


@dataclass(slots=True)
class HeldRun:
    """A locked run. Its input and result are kept as bytes: nobody here looks into them."""

    record: TaskRecord
    lease: timedelta | None
    payload: bytes
    """The fields that `record` lacks, serialized."""

    def serialized(self) -> bytes:
        """The whole run, as one TaskRecord."""
        return self.record.SerializeToString() + self.payload


async def lock(
    tx: Transaction, tenant: str, ids: AbstractSet[str]
) -> tuple[dict[str, HeldRun], set[str]]:
    """The runs that could be locked, by id, and those that exist but are busy."""
    read = rows.task_records(_NAMES)
    runs = {}
    for row in await tx.fetch(_LOCK, {"tenant": tenant, "ids": sorted(ids)}):
        tx.not_before(row.update_time)
        stored = row
        if not row.small:
            (stored,) = await tx.fetch(_PAYLOAD, {"tenant": tenant, "id": row.id})
        runs[row.id] = HeldRun(read(row), row.lease, _payload(stored))
    return runs, await existing(tx, tenant, ids - runs.keys())


def _payload(row: Any) -> bytes:
    parts = (TaskRecord.INPUT_FIELD_NUMBER, row.input), (TaskRecord.RESULT_FIELD_NUMBER, row.result)
    return b"".join(field(number, value) for number, value in parts if value is not None)


_SAVE = Statement("""
    UPDATE task_records r
       SET lease_expire_time = u.lease_expire_time, message = u.message, robot_id = u.robot_id,
           update_time = :now
      FROM unnest(CAST(:ids AS text[]), CAST(:ends AS timestamptz[]), CAST(:messages AS text[]),
                  CAST(:robots AS text[])) AS u (id, lease_expire_time, message, robot_id)
     WHERE r.tenant = :tenant AND r.id = ANY(CAST(:ids AS text[])) AND r.id = u.id
""")


async def save(tx: Transaction, tenant: str, records: Sequence[TaskRecord]) -> None:
    """Writes back what heartbeats change: the lease's end, message, robot and update_time."""
    await tx.fetch(
        _SAVE,
        {
            "tenant": tenant,
            "now": tx.now,
            "ids": [record.id for record in records],
            "ends": [
                rows.moment(record.lease_expire_time)
                if record.HasField("lease_expire_time")
                else None
                for record in records
            ],
            "messages": [record.message for record in records],
            "robots": [record.robot_id for record in records],
        },
    )
