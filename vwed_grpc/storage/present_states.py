"""What many runs and their blocks are like now, by a few statements."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from vwed.v1.block_record_pb2 import BlockRecord
from vwed.v1.task_record_pb2 import TaskRecord

from vwed_grpc.storage import block_records, models, rows, run_lists
from vwed_grpc.storage.pool import ReadingPool
from vwed_grpc.storage.statement import Statement
from vwed_grpc.turns import in_turns

BLOCKS_AT_ONCE = 1_000
MOST_BLOCKS = 2_000
"""Of all runs together; those that have more between them are for the caller to read one by one."""

c = models.TaskRecord.__table__.c
_OWN = (c.run_seq, c.blocks_recorded)
_RUNS = Statement(
    sa.select(*run_lists.BASIC, *_OWN).where(
        c.tenant == sa.bindparam("tenant"),
        c.id == sa.any_(sa.bindparam("ids", type_=pg.ARRAY(sa.Text))),
    )
)
_BLOCKS = Statement(f"""
    SELECT {block_records.BASIC_NAMES}
      FROM unnest(CAST(:runs AS text[]), CAST(:seqs AS bigint[])) AS u (run, seq)
      JOIN block_records b ON b.tenant = :tenant AND b.task_record_id = u.run AND b.seq <= u.seq
     ORDER BY b.task_record_id, b.seq
""")  # noqa: S608 - column names from the table's own definition


@dataclass(slots=True)
class PresentRun:
    """A run in its basic view, and the seq of its own last event."""

    record: TaskRecord
    run_seq: int
    blocks: list[BlockRecord] = field(default_factory=list)
    """In their basic view, by the seq of their last change: those not changed since the run's."""


async def of_runs(pool: ReadingPool, tenant: str, ids: Sequence[str]) -> Mapping[str, PresentRun]:
    """Those of the runs that are there and have few blocks, by id."""
    found = await pool.fetch(_RUNS, {"tenant": tenant, "ids": list(ids)})
    runs: dict[str, PresentRun] = {}
    group: dict[str, int] = {}
    left, size = MOST_BLOCKS, 0
    for row in found:
        blocks = row.blocks_recorded
        if blocks > min(left, BLOCKS_AT_ONCE):
            continue
        left -= blocks
        if size + blocks > BLOCKS_AT_ONCE:
            await _add_blocks(pool, tenant, runs, group)
            group, size = {}, 0
        record = rows.task_record(row)
        runs[record.id] = PresentRun(record, row.run_seq)
        if blocks:
            group[record.id] = record.seq
            size += blocks
    if group:
        await _add_blocks(pool, tenant, runs, group)
    return runs


async def _add_blocks(
    pool: ReadingPool, tenant: str, runs: Mapping[str, PresentRun], seqs: Mapping[str, int]
) -> None:
    parameters = {"tenant": tenant, "runs": [*seqs], "seqs": [*seqs.values()]}
    for block in await in_turns(rows.block_record, await pool.fetch(_BLOCKS, parameters)):
        runs[block.task_record_id].blocks.append(block)
