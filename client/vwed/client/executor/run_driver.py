"""One run in this process's hands: its code, what is reported meanwhile, and what is said last."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from vwed.v1.block_record_pb2 import BlockRecord
from vwed.v1.record_service_pb2 import ReportBlocksRequest
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordStatus

from vwed.client.errors import CallError
from vwed.client.executor.block_entry import BlockEntry
from vwed.client.executor.block_reporter import BlockReporter
from vwed.client.executor.ending import Ending, Result, ending_of
from vwed.client.executor.fenced_calls import FencedCalls
from vwed.client.executor.finishing import Finishing
from vwed.client.executor.heartbeats import Heartbeats, Words
from vwed.client.executor.lease import Lease
from vwed.client.executor.previous import previous_blocks
from vwed.client.executor.process_parts import ProcessParts
from vwed.client.executor.reports import Reports
from vwed.client.executor.retaking import Retaking, ended
from vwed.client.executor.run import Run
from vwed.client.executor.statuses import (
    CANCELED,
    CANCELING,
    FAILED,
    HELD,
    INTERRUPTED,
    PAUSED,
    PAUSING,
    RUNNING,
    SUCCEEDED,
)
from vwed.client.executor.stopping import RunOver, StopReason
from vwed.client.executor.texts import ERROR_MESSAGE, text

if TYPE_CHECKING:
    from vwed.client.executor.definitions import Pinned

log = logging.getLogger("vwed.executor")

Work = Callable[[Run], Awaitable[Result]]
"""The code of a task."""


class RunDriver:
    """Begins when it is made; `done` is over when all is said that there is to say."""

    def __init__(
        self,
        shared: ProcessParts,
        work: Work,
        record: TaskRecord,
        sent: float,
        after: "RunDriver | None",
    ) -> None:
        """Of the run as the call that took it answered it; `sent`: when that call was made.

        `after`: the drive that had the run before, and lost it: its code is waited for.
        """
        self.client = shared.client
        self.calls = shared.calls
        self.record = record
        self.claimed_seq = record.seq
        self.stop_reason: StopReason | None = None
        self.pinned: Pinned
        self.lease = Lease(record.executor_id, shared.lease, record.lease_epoch, sent)
        self._shared = shared
        self._work = work
        self._seen = 0, 0
        self._refused: Ending | None = None
        self._is_ending = False
        """The last call of the run is under way, and what is heard may be its echo."""
        retaking = Retaking(
            self.client,
            self.calls,
            self.lease,
            record.id,
            claims_settled=shared.claims_settled,
            see=self.see,
        )
        holding = FencedCalls(self.calls, self.lease, retaking)
        self._fenced = holding
        self._heartbeats = Heartbeats(
            self.client, holding, retaking, shared.clock, run_id=record.id, see=self.see
        )
        self._finishing = Finishing(self.client, holding, record.id)
        self._reports = Reports(
            self._deliver, taken=self._reports_taken, refused=self._report_refused
        )
        self.entry = BlockEntry(self.lease, self._reports, self._heartbeats.look)
        self.reporter = BlockReporter(self._reports, self.entry, shared.clock)
        self.code: asyncio.Task[Result] = asyncio.create_task(self._code(after))
        self.done = asyncio.create_task(self._driver())
        self.see(record)

    @property
    def words(self) -> Words:
        return self._heartbeats.words

    def say(self, words: Words) -> None:
        self.reporter.robot_id = words.robot_id
        self._heartbeats.say(words)

    async def _code(self, after: "RunDriver | None") -> Result:
        if after is not None:
            await asyncio.wait([after.code])
        self.pinned = await self._shared.definitions.of(self.record)
        self.reporter.previous = await previous_blocks(self.client, self.calls, self.record)
        while not self._shared.clock.is_known and self.entry.closed is None:
            await self.entry.changed.wait()
        await self.entry.wait(None)
        return await self._work(Run(self))

    async def _driver(self) -> None:
        keeping = asyncio.create_task(self._tend(self._heartbeats.keep(self.entry)))
        sending = asyncio.create_task(self._tend(self._reports.send()))
        try:
            await asyncio.wait([self.code])
            ending = ending_of(self.record.id, self.code, self.stop_reason)
            await self._reports.flush()
            ending = self._refused or ending
            self._is_ending = True
            if ending is None:
                keeping.cancel()  # else it would take the run again
                await asyncio.wait([keeping])
                self.record = await self._finishing.release(StopReason.RELEASED)
            else:
                self.record = await self._finishing.finish(ending)
        except RunOver as over:
            self.lose(over.reason)
        finally:
            self.entry.close(StopReason.ENDED)
            for task in (self.code, keeping, sending):
                task.cancel()
            await asyncio.wait([keeping, sending])

    async def _tend(self, part: Coroutine[Any, Any, None]) -> None:
        try:
            await part
        except RunOver as over:
            self.lose(over.reason)
        except Exception:
            log.exception("run %s: given up, for a fault of the executor", self.record.id)
            self.lose(StopReason.LEASE_LOST)

    # What the run is told.

    def look(self) -> None:
        """Ask the service how the run is."""
        self._heartbeats.look()

    def see(self, record: TaskRecord) -> None:
        """Acts upon the newest that is known of the run; whatever is older is ignored."""
        if record.lease_epoch > self.lease.epoch:
            self._heartbeats.look()  # by another, or by a claim of our own: the answer decides
            return
        if (record.lease_epoch, record.seq) < self._seen or self.entry.closed is not None:
            return
        self._seen = record.lease_epoch, record.seq
        if not record.HasField("input") and self.record.HasField("input"):
            record.input.CopyFrom(self.record.input)  # events come without it
        self.record = record
        self._ON_STATUS[record.status](self)

    def _on_running(self) -> None:
        self.entry.resume()

    def _on_pause(self) -> None:
        self.entry.pause()

    def _on_canceling(self) -> None:
        self.entry.resume()
        self.stop(StopReason.CANCELED)

    def _on_interrupted(self) -> None:
        self.lease.end()
        self._heartbeats.look()

    def _on_end(self) -> None:
        if not self._is_ending:
            self.lose(ended(self.record))

    _ON_STATUS: ClassVar[Mapping[TaskRecordStatus.ValueType, Callable[["RunDriver"], None]]] = {
        RUNNING: _on_running,
        PAUSING: _on_pause,
        PAUSED: _on_pause,
        CANCELING: _on_canceling,
        INTERRUPTED: _on_interrupted,
        SUCCEEDED: _on_end,
        FAILED: _on_end,
        CANCELED: _on_end,
    }
    """What follows from a status of the run."""

    def stop(self, reason: StopReason) -> None:
        """Cancels the code: what it does about that is its own, until the executor stops."""
        if self.code.done():
            return
        if self.stop_reason is None or reason is StopReason.RELEASED:
            self.code.cancel()
        self.stop_reason = self.stop_reason or reason

    def lose(self, reason: StopReason) -> None:
        """The run is not ours any more: nothing more is written, and no block begins."""
        if self.entry.closed is not None:
            return
        log.warning("run %s: %s", self.record.id, reason.value)
        self.entry.close(reason)
        self._reports.close(reason)
        self.stop(reason)
        self.stop_reason = reason

    def adopt(self, record: TaskRecord, sent: float) -> bool:
        """A claim was given this very run; whether it is the one that this drive has."""
        if self.entry.closed is not None or not self.lease.take_over(record, sent):
            return False
        log.warning("run %s: retaken, epoch %d", record.id, record.lease_epoch)
        self.see(record)
        return True

    # What the run says.

    async def _deliver(self, batch: Sequence[BlockRecord]) -> None:
        request = ReportBlocksRequest(task_record_id=self.record.id, block_records=batch)
        answer = await self._fenced.call(self.client.records.ReportBlocks, request)
        status = answer.response.task_record_status
        if status in HELD:
            self.lease.renew_if_in_time(answer.sent, answer.received)
        if status != self.record.status:
            self._heartbeats.look()

    def _reports_taken(self) -> None:
        self.entry.changed.ring()
        self.entry.look_if_all_stand()

    def _report_refused(self, report: BlockRecord, refusal: CallError) -> None:
        log.error("run %s: a report of block %s: %s", self.record.id, report.block_id, refusal)
        if self._refused is None:
            message = text(f"block {report.block_id}: {refusal}", ERROR_MESSAGE)
            self._refused = Ending(FAILED, None, "REPORT_REFUSED", message)
        self.stop(StopReason.REPORT_REFUSED)
