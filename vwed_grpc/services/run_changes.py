"""What all RPCs that change a run do alike."""

from vwed_grpc.domain.lifecycle import Command, next_status
from vwed_grpc.rpc.call import Call
from vwed_grpc.storage import task_records
from vwed_grpc.storage.transaction import Transaction
from vwed_grpc.writes.commit import Effects
from vwed_grpc.writes.runs import RunChange


async def lock_run(
    tx: Transaction, effects: Effects, call: Call, *, id_: str, etag: str
) -> RunChange:
    """The run, locked and ready to be changed. Raises NotFound, Aborted."""
    run = await task_records.lock(tx, call.tenant, id_, etag=etag)
    return RunChange(tx, effects, call.tenant, run=run)


async def move(change: RunChange, command: Command, call: Call, *, reason: str) -> None:
    """Obeys the command; what was obeyed before writes nothing."""
    status = next_status(command, change.record.status)
    if status is not None:
        await change.write(call.actor, reason, status)
