"""One run in this process's hands: its code, what is reported meanwhile, and what is said last."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from vwed.v1.block_record_pb2 import BlockRecord
from vwed.v1.record_service_pb2 import ReportBlocksRequest
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordStatus

from vwed.client.errors import CallError
from vwed.client.executor.ending import Ending, Result, ending_of
from vwed.client.executor.finishing import Finishing
from vwed.client.executor.gate import Gate
from vwed.client.executor.holding import Holding
from vwed.client.executor.keeping import Keeping, Words
from vwed.client.executor.lease import Lease
from vwed.client.executor.ledger import Ledger
from vwed.client.executor.previous import previous_blocks
from vwed.client.executor.reports import Reports
from vwed.client.executor.retaking import Retaking, ended
from vwed.client.executor.run import Run
from vwed.client.executor.shared import Shared
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


class Drive:
    """Begins when it is made; `done` is over when all is said that there is to say."""

    def __init__(
        self, shared: Shared, work: Work, record: TaskRecord, sent: float, after: "Drive | None"
    ) -> None:
        """Of the run as the call that took it answered it; `sent`: when that call was made.

        `after`: the drive that had the run before, and lost it: its code is waited for.
        """
        self.client = shared.client
        self.asking = shared.asking
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
            self.asking,
            self.lease,
            record.id,
            claims_settled=shared.claims_settled,
            see=self.see,
        )
        holding = Holding(self.asking, self.lease, retaking)
        self._holding = holding
        self._keeping = Keeping(
            self.client, holding, retaking, shared.clock, run_id=record.id, see=self.see
        )
        self._finishing = Finishing(self.client, holding, record.id)
        self._reports = Reports(
            self._deliver, taken=self._reports_taken, refused=self._report_refused
        )
        self.gate = Gate(self.lease, self._reports, self._keeping.look)
        self.ledger = Ledger(self._reports, self.gate, shared.clock)
        self.code: asyncio.Task[Result] = asyncio.create_task(self._code(after))
        self.done = asyncio.create_task(self._drive())
        self.see(record)

    @property
    def words(self) -> Words:
        return self._keeping.words

    def say(self, words: Words) -> None:
        self.ledger.robot_id = words.robot_id
        self._keeping.say(words)

    async def _code(self, after: "Drive | None") -> Result:
        if after is not None:
            await asyncio.wait([after.code])
        self.pinned = await self._shared.definitions.of(self.record)
        self.ledger.previous = await previous_blocks(self.client, self.asking, self.record)
        while not self._shared.clock.is_known and self.gate.closed is None:
            await self.gate.bell.wait()
        await self.gate.wait(None)
        return await self._work(Run(self))

    async def _drive(self) -> None:
        keeping = asyncio.create_task(self._tend(self._keeping.keep(self.gate)))
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
                self.record = await self._finishing.hand_back(StopReason.RELEASED)
            else:
                self.record = await self._finishing.finish(ending)
        except RunOver as over:
            self.lose(over.reason)
        finally:
            self.gate.close(StopReason.ENDED)
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

    def see(self, record: TaskRecord) -> None:
        """Acts upon the newest that is known of the run; whatever is older is ignored."""
        if record.lease_epoch > self.lease.epoch:
            self._keeping.look()  # by another, or by a claim of our own: the answer decides
            return
        if (record.lease_epoch, record.seq) < self._seen or self.gate.closed is not None:
            return
        self._seen = record.lease_epoch, record.seq
        if not record.HasField("input") and self.record.HasField("input"):
            record.input.CopyFrom(self.record.input)  # events come without it
        self.record = record
        self._ACTS[record.status](self)

    def _go_on(self) -> None:
        self.gate.resume()

    def _stand(self) -> None:
        self.gate.pause()

    def _cancel(self) -> None:
        self.gate.resume()
        self.stop(StopReason.CANCELED)

    def _doubt(self) -> None:
        self.lease.end()
        self._keeping.look()

    def _end(self) -> None:
        if not self._is_ending:
            self.lose(ended(self.record))

    _ACTS: ClassVar[Mapping[TaskRecordStatus.ValueType, Callable[["Drive"], None]]] = {
        RUNNING: _go_on,
        PAUSING: _stand,
        PAUSED: _stand,
        CANCELING: _cancel,
        INTERRUPTED: _doubt,
        SUCCEEDED: _end,
        FAILED: _end,
        CANCELED: _end,
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
        if self.gate.closed is not None:
            return
        log.warning("run %s: %s", self.record.id, reason.value)
        self.gate.close(reason)
        self._reports.close(reason)
        self.stop(reason)
        self.stop_reason = reason

    def hand_over(self, record: TaskRecord, sent: float) -> bool:
        """A claim was given this very run; whether it is the one that this drive has."""
        if self.gate.closed is not None or not self.lease.take_over(record, sent):
            return False
        log.warning("run %s: retaken, epoch %d", record.id, record.lease_epoch)
        self.see(record)
        return True

    # What the run says.

    async def _deliver(self, batch: Sequence[BlockRecord]) -> None:
        request = ReportBlocksRequest(task_record_id=self.record.id, block_records=batch)
        answer = await self._holding.call(self.client.records.ReportBlocks, request)
        status = answer.response.task_record_status
        if status in HELD:
            self.lease.renew_if_in_time(answer.sent, answer.received)
        if status != self.record.status:
            self._keeping.look()

    def _reports_taken(self) -> None:
        self.gate.bell.ring()
        self.gate.look_if_all_stand()

    def _report_refused(self, report: BlockRecord, refusal: CallError) -> None:
        log.error("run %s: a report of block %s: %s", self.record.id, report.block_id, refusal)
        if self._refused is None:
            message = text(f"block {report.block_id}: {refusal}", ERROR_MESSAGE)
            self._refused = Ending(FAILED, None, "REPORT_REFUSED", message)
        self.stop(StopReason.REPORT_REFUSED)
