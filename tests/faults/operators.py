"""People at a screen: they pause, resume, cancel, retry, and leave a word for the executor."""

import asyncio
import random
import uuid

from google.protobuf.field_mask_pb2 import FieldMask
from vwed.v1.record_service_pb2 import (
    CancelTaskRecordRequest,
    ListTaskRecordsRequest,
    PauseTaskRecordRequest,
    ResumeTaskRecordRequest,
    RetryTaskRecordRequest,
    SignalTaskRecordRequest,
    UpdateTaskRecordRequest,
)
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordFilter

from tests.faults.fleet import Fleet, Refused
from vwed_grpc.domain.lifecycle import OPEN

MODES = [
    RetryTaskRecordRequest.MODE_FROM_START,
    RetryTaskRecordRequest.MODE_FROM_FAILURE,
]
RECENT = 40
BUSY = 0.7
"""Share of those that executors have."""


async def operator(fleet: Fleet) -> None:
    """Does this and that to recent runs, and to busy ones, until the fleet is over."""
    rng = random.Random(fleet.random.random())
    verbs = [_pause, _resume, _cancel, _signal, _retry, _update]
    while not fleet.over.is_set():
        await asyncio.sleep(rng.uniform(0.05, 0.4))
        if fleet.runs:
            (verb,) = rng.choices(verbs, [3, 3, 1, 4, 3, 2])
            try:
                some = fleet.busy if fleet.busy and rng.random() < BUSY else fleet.runs[-RECENT:]
                await verb(fleet, rng.choice(some), rng)
            except Refused as refusal:
                if not refusal.reason.startswith("FAILED_PRECONDITION"):
                    raise


async def _pause(fleet: Fleet, run: str, _: random.Random) -> None:
    request = PauseTaskRecordRequest(id=run, reason="make way")
    fleet.told.changed(await fleet.ask("PauseTaskRecord", request))


async def _resume(fleet: Fleet, run: str, _: random.Random) -> None:
    fleet.told.changed(await fleet.ask("ResumeTaskRecord", ResumeTaskRecordRequest(id=run)))


async def _cancel(fleet: Fleet, run: str, rng: random.Random) -> None:
    request = CancelTaskRecordRequest(
        id=run, force=rng.random() < 0.3, cascade=rng.random() < 0.5, reason="not needed"
    )
    fleet.told.changed(await fleet.ask("CancelTaskRecord", request))


async def _signal(fleet: Fleet, run: str, _: random.Random) -> None:
    name = f"look-{fleet.message()}"
    request = SignalTaskRecordRequest(id=run, name=name, request_id=str(uuid.uuid4()))
    request.payload.update({"for": "you"})
    await fleet.ask("SignalTaskRecord", request)
    fleet.told.signals.append((run, name))


async def _retry(fleet: Fleet, run: str, rng: random.Random) -> None:
    request = RetryTaskRecordRequest(id=run, mode=rng.choice(MODES), request_id=str(uuid.uuid4()))
    record = fleet.told.changed(await fleet.ask("RetryTaskRecord", request))
    fleet.told.retries.append((run, record.id))
    fleet.runs.append(record.id)


async def _update(fleet: Fleet, run: str, rng: random.Random) -> None:
    request = UpdateTaskRecordRequest(
        task_record=TaskRecord(id=run, priority=rng.randrange(100)),
        update_mask=FieldMask(paths=["priority"]),
    )
    fleet.told.changed(await fleet.ask("UpdateTaskRecord", request))


async def end_all(fleet: Fleet) -> None:
    """Ends every run that is still open, so that every watch of one ends."""
    still_open = ListTaskRecordsRequest(
        filter=TaskRecordFilter(statuses=sorted(OPEN)), page_size=1000
    )
    while (answer := await fleet.ask("ListTaskRecords", still_open)).task_records:
        for record in answer.task_records:
            try:
                request = CancelTaskRecordRequest(id=record.id, force=True)
                fleet.told.changed(await fleet.ask("CancelTaskRecord", request))
            except Refused as refusal:
                if not refusal.reason.endswith("ILLEGAL_TRANSITION"):
                    raise
