"""What the service says of the runs that executors drove, to be compared with their journals."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass

from google.protobuf.struct_pb2 import Struct
from vwed.v1.block_record_pb2 import BlockRecordStatus
from vwed.v1.common_pb2 import View
from vwed.v1.record_service_pb2 import ListTaskRecordEventsRequest
from vwed.v1.task_record_event_pb2 import TaskRecordEvent
from vwed.v1.task_record_pb2 import TaskRecordStatus

from tests.faults.fleet import Fleet
from tests.faults.journal import Key, mark_in

AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a run. Statuses are names without what all of them begin with."""

    seq: int
    at: float
    """Seconds since 1970, by the database's clock."""
    actor: str
    epoch: int
    """In force from it on; `executor`: whose that is."""
    executor: str
    status: str = ""
    """Of the run, if it changed; "" else."""
    block: Key | None = None
    block_status: str = ""
    report: int = 0
    """The seq of the last event of the same report or transition."""
    mark: str = ""
    """In the result, the output or the error message."""
    closing: bool = False
    """A block that the run's end closed."""
    signal: str = ""

    @property
    def block_end(self) -> bool:
        return self.block_status in {"SUCCEEDED", "FAILED", "SKIPPED", "CANCELED"}


Histories = dict[str, list[Event]]
"""Run -> its events, by seq."""


async def read(fleet: Fleet, runs: Iterable[str]) -> Histories:
    """By ListTaskRecordEvents."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(run: str) -> tuple[str, list[Event]]:
        async with places:
            return run, [*events([e async for e in _pages(fleet, run)])]

    return dict(await asyncio.gather(*map(one, runs)))


async def _pages(fleet: Fleet, run: str) -> AsyncIterator[TaskRecordEvent]:
    request = ListTaskRecordEventsRequest(task_record_id=run, page_size=1000, view=View.VIEW_FULL)
    while True:
        answer = await fleet.ask("ListTaskRecordEvents", request)
        for event in answer.events:
            yield event
        if not answer.next_page_token:
            return
        request.page_token = answer.next_page_token


def events(told: Iterable[TaskRecordEvent]) -> Iterator[Event]:
    executor, epoch = "", 0
    group: list[TaskRecordEvent] = []
    for event in told:
        group.append(event)
        if not (event.HasField("block_counts") or event.HasField("signal")):
            continue  # the last one of a report or transition has the counts
        final = event.task_record.HasField("end_time")
        for one in group:
            if one.HasField("task_record"):
                executor, epoch = one.task_record.executor_id, one.task_record.lease_epoch
            yield _event(one, executor, epoch, report=event.seq, closing=final)
        group.clear()


def _event(
    event: TaskRecordEvent, executor: str, epoch: int, *, report: int, closing: bool
) -> Event:
    run, block = event.task_record, event.block_record
    is_block, is_run = event.HasField("block_record"), event.HasField("task_record")
    return Event(
        event.seq,
        event.event_time.ToNanoseconds() / 1e9,
        event.actor,
        epoch,
        executor,
        report=report,
        status=TaskRecordStatus.Name(run.status).removeprefix("TASK_RECORD_STATUS_")
        if is_run
        else "",
        block=(block.block_id, block.iteration, block.attempt) if is_block else None,
        block_status=BlockRecordStatus.Name(block.status).removeprefix("BLOCK_RECORD_STATUS_")
        if is_block
        else "",
        mark=_mark(block.output_data, block.error_message)
        if is_block
        else _mark(run.result, run.error_message),
        closing=closing and is_block,
        signal=event.signal.name,
    )


def _mark(said: Struct, error: str) -> str:
    return said.fields["mark"].string_value if "mark" in said.fields else mark_in(error)
