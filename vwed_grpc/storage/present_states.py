"""What many runs and their blocks are like now, by a few statements."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter

from vwed.v1.block_record_pb2 import BlockRecord
from vwed.v1.task_record_pb2 import TaskRecord

from vwed_grpc.loop.turns import in_turns
from vwed_grpc.storage import block_records, rows, run_lists
from vwed_grpc.storage.listing import Listing
from vwed_grpc.storage.pool import ReadingPool
from vwed_grpc.storage.statement import Statement

BLOCKS_AT_ONCE = 1_000
MOST_BLOCKS = 2_000
"""Of all runs together; those that have more between them are for the caller to read one by one."""
_BLOCKS = Statement(f"""
    SELECT {block_records.BASIC_NAMES}
      FROM unnest(CAST(:runs AS text[]), CAST(:seqs AS bigint[])) AS u (run, seq)
      JOIN block_records b ON b.tenant = :tenant AND b.task_record_id = u.run AND b.seq <= u.seq
     ORDER BY b.task_record_id, b.seq
""")  # noqa: S608 - column names from the table's own definition


@dataclass(slots=True)
class PresentRun:
    """A run, and what a snapshot tells besides."""

    record: TaskRecord
    run_seq: int
    """Of its own last event."""
    blocks_recorded: int
    blocks: list[BlockRecord] = field(default_factory=list)
    """In their basic view, by the seq of their last change: those not changed since the run's."""

    def ByteSize(self) -> int:  # noqa: N802 - as messages call it
        return self.record.ByteSize()


def _reader(names: rows.Names) -> Callable[[rows.Row], PresentRun]:
    read = rows.task_records(names)
    own = itemgetter(names.index("run_seq"), names.index("blocks_recorded"))
    return lambda row: PresentRun(read(row), *own(row))


LISTING: Listing[PresentRun] = replace(run_lists.LISTING, reader=_reader)  # type: ignore[arg-type, assignment]  # of other items
"""Runs as `run_lists` lists them, without their blocks."""


async def add_blocks(
    pool: ReadingPool, tenant: str, runs: Sequence[PresentRun]
) -> Sequence[PresentRun]:
    """Those of the runs that have few blocks, with these."""
    few: list[PresentRun] = []
    group: dict[str, PresentRun] = {}
    left, size = MOST_BLOCKS, 0
    for run in runs:
        blocks = run.blocks_recorded
        if blocks > min(left, BLOCKS_AT_ONCE):
            continue
        left -= blocks
        if size + blocks > BLOCKS_AT_ONCE:
            await _add_blocks(pool, tenant, group)
            group, size = {}, 0
        few.append(run)
        if blocks:
            group[run.record.id] = run
            size += blocks
    if group:
        await _add_blocks(pool, tenant, group)
    return few


async def _add_blocks(pool: ReadingPool, tenant: str, runs: Mapping[str, PresentRun]) -> None:
    seqs = [run.record.seq for run in runs.values()]
    parameters = {"tenant": tenant, "runs": [*runs], "seqs": seqs}
    for block in await in_turns(rows.block_record, await pool.fetch(_BLOCKS, parameters)):
        runs[block.task_record_id].blocks.append(block)
