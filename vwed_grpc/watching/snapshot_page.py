"""A page of the snapshot of many runs: what they and their blocks are like, for all who ask."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordFilter

from vwed_grpc.domain.lifecycle import OPEN
from vwed_grpc.domain.ordering import OrderTerm
from vwed_grpc.loop.turns import Turns
from vwed_grpc.storage import present_states, run_lists, task_records
from vwed_grpc.storage.events import Event
from vwed_grpc.storage.listing import Position
from vwed_grpc.storage.pool import ReadingPool
from vwed_grpc.storage.present_states import PresentRun
from vwed_grpc.watching.snapshot import state

RUNS = 200

_CREATION = (OrderTerm("create_time"), OrderTerm("id"))
States = Mapping[str, tuple[int, list[Event]]]
"""By run: its seq, and its own state with those of its blocks, as events in order of seq."""


@dataclass(frozen=True, slots=True)
class SnapshotPage:
    records: Sequence[TaskRecord]
    """Open runs, by the time of their creation."""
    states: States
    """Those of runs that have many blocks are not here."""
    next_position: Position | None
    size: int
    """In bytes."""


async def read_page(
    pool: ReadingPool,
    tenant: str,
    after: Position | None,
    *,
    filter_: TaskRecordFilter,
    blocks: bool,
    full: bool,
) -> SnapshotPage:
    """The open runs of a filter that were made after those at `after`."""
    page = await present_states.LISTING.page(
        pool,
        [*run_lists.where(tenant, filter_), task_records.among(OPEN)],
        _CREATION,
        size=RUNS,
        position=after,
        full=full,
    )
    if not blocks:
        # Progress is part of the state, so its last change is that of any block.
        states = await _of_runs(page.items, full=full)
    elif full:
        states = {}  # payload may be large: run by run
    else:
        # A block that changes meanwhile drops out: its change comes after the snapshot.
        states = await _of_blocks(await present_states.add_blocks(pool, tenant, page.items))
    size = sum(len(event.event) for _, events in states.values() for event in events)
    return SnapshotPage([run.record for run in page.items], states, page.next_position, size)


async def _of_runs(runs: Sequence[PresentRun], *, full: bool) -> States:
    states, turns = {}, Turns()
    for record in (run.record for run in runs):
        states[record.id] = record.seq, [state(record.id, record.seq, record, full=full)]
        await turns.next()
    return states


async def _of_blocks(runs: Sequence[PresentRun]) -> States:
    states, turns = {}, Turns()
    for run in runs:
        id_ = run.record.id
        told = [state(id_, block.seq, block) for block in run.blocks]
        told.append(state(id_, run.run_seq, run.record, full=False))
        states[id_] = run.record.seq, sorted(told, key=lambda event: event.seq)
        await turns.next()
    return states
