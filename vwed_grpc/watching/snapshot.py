"""What a run is like now, told as events: each with the seq of its last change, in their order."""

from collections.abc import AsyncIterator

from vwed.v1.block_record_pb2 import BlockRecord
from vwed.v1.task_record_event_pb2 import TaskRecordEvent
from vwed.v1.task_record_pb2 import TaskRecord

from vwed_grpc.loop.turns import in_turns
from vwed_grpc.storage import block_records
from vwed_grpc.storage.events import Event, Kind
from vwed_grpc.storage.pool import ReadingPool
from vwed_grpc.storage.task_records import Run
from vwed_grpc.watching.catch_up import CatchUp


async def states_of_run(
    pool: ReadingPool, catch_up: CatchUp, tenant: str, run: Run, *, full: bool
) -> AsyncIterator[list[Event]]:
    """The states of a run and its blocks that are as old as the run's seq, in pages.

    A block that changes while its page is read drops out: its change comes after the snapshot, so
    nothing is lost.
    """
    own: Run | None = run
    id_, seq, until = run.record.id, 0, run.record.seq

    async def page() -> list[Event]:
        blocks = await block_records.changed_between(pool, tenant, id_, seq, until, full=full)
        return await in_turns(lambda block: state(id_, block.seq, block), blocks)

    while True:
        place = "states", id_, seq, until, full
        blocks = await catch_up.ask(tenant, place, page, _size)
        states = [*blocks]
        if own is not None and (not blocks or own.run_seq < blocks[-1].seq):
            states.append(state(id_, own.run_seq, own.record, full=full))
            states.sort(key=lambda event: event.seq)
            own = None
        if states:
            yield states
        if not blocks:
            return
        seq = blocks[-1].seq


def _size(states: list[Event]) -> int:
    return sum(len(state.event) for state in states)


def state(run: str, seq: int, state: BlockRecord | TaskRecord, *, full: bool = True) -> Event:
    """A present state as an event of a snapshot."""
    event = TaskRecordEvent(task_record_id=run, seq=seq, event_time=state.update_time)
    if isinstance(state, BlockRecord):
        event.block_record.CopyFrom(state)
    else:
        event.actor, event.reason = state.status_actor, state.status_reason
        event.block_counts.CopyFrom(state.block_counts)
        event.progress = state.progress
        event.task_record.CopyFrom(state)
        if not full:
            event.task_record.ClearField("input")
            event.task_record.ClearField("result")
    return Event(seq, seq, Kind.RUN, event.SerializeToString(), None)
