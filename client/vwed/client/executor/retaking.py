"""What becomes of a run whose lease ran out, or is said to be another's: retaken, never stolen."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from uuid import uuid4

from vwed.v1.record_service_pb2 import (
    ClaimTaskRecordsRequest,
    GetTaskRecordRequest,
    ReleaseTaskRecordRequest,
)
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordFilter

from vwed.client.connection import Client
from vwed.client.errors import CallError, NotFound
from vwed.client.executor.clock import duration
from vwed.client.executor.lease import Lease
from vwed.client.executor.persistent_calls import PersistentCalls
from vwed.client.executor.statuses import CANCELED, FINAL, HELD
from vwed.client.executor.stopping import RunOver, StopReason

log = logging.getLogger("vwed.executor")

STRONG = (("x-vwed-consistency", "strong"),)
_LOOK_AGAIN = 0.1
"""Seconds; somebody else is at the run, and it is to be seen what comes of it."""


class Retaking:
    """Takes the run again under the next epoch, if nobody else has had it since."""

    def __init__(
        self,
        client: Client,
        calls: PersistentCalls,
        lease: Lease,
        run_id: str,
        *,
        claims_settled: Callable[[], Awaitable[None]],
        see: Callable[[TaskRecord], None],
    ) -> None:
        """For one run.

        `claims_settled` returns when no claim of this process waits for its answer; `see` is told
        how the run is once it was retaken.
        """
        self._client = client
        self._calls = calls
        self._lease = lease
        self._run_id = run_id
        self._claims_settled = claims_settled
        self._see = see
        self._one_at_a_time = asyncio.Lock()

    async def retake(self, lost_epoch: int) -> None:
        """Returns once the run is this process's again; raises RunOver if it is not to be.

        `lost_epoch`: what the caller had when it was refused; if the run has been retaken since,
        there is nothing to do.
        """
        async with self._one_at_a_time:
            while self._lease.epoch == lost_epoch:
                record = await self._look()
                if not self._lease.is_epoch_of(record):
                    await self._wait_for_own_claim(record)
                elif record.status in FINAL:
                    raise RunOver(ended(record))
                elif record.status in HELD:
                    return  # what comes next renews it, or learns better
                elif not await self._claim():
                    await asyncio.sleep(_LOOK_AGAIN)

    async def _look(self) -> TaskRecord:
        try:
            answer = await self._calls.ask(
                self._client.records.GetTaskRecord,
                GetTaskRecordRequest(id=self._run_id),
                metadata=STRONG,
            )
        except NotFound:
            raise RunOver(StopReason.DELETED) from None
        return answer.response

    async def _wait_for_own_claim(self, record: TaskRecord) -> None:
        """The claim of this process that is under way may have been given the run.

        Its answer hands over the next epoch. Raises RunOver if there was no such claim.
        """
        lease = self._lease
        known = lease.epoch
        if record.executor_id == lease.executor_id and record.lease_epoch == known + 1:
            await self._claims_settled()
        if lease.epoch == known:
            raise RunOver(StopReason.LEASE_LOST)

    async def _claim(self) -> bool:
        """Whether it was INTERRUPTED still, and has the next epoch now."""
        lease = self._lease
        request = ClaimTaskRecordsRequest(
            executor_id=lease.executor_id,
            filter=TaskRecordFilter(ids=[self._run_id]),
            include_interrupted=True,
            lease=duration(lease.seconds),
            max_count=1,
            request_id=str(uuid4()),
            reason="the executor takes up again the run that it had",
        )
        answer = await self._calls.ask(self._client.records.ClaimTaskRecords, request)
        for record in answer.response.task_records:
            if lease.take_over(record, answer.sent):
                log.warning("run %s: retaken, epoch %d", record.id, record.lease_epoch)
                self._see(record)
                return True
            if lease.executor_id == record.executor_id and record.status in HELD:
                why = "another executor had the run in between"
                await release(self._client, self._calls, record, reason=why)
            raise RunOver(StopReason.LEASE_LOST)
        return False


async def release(
    client: Client, calls: PersistentCalls, record: TaskRecord, *, reason: str
) -> None:
    """Releases a run that a claim of this executor was given, and that nobody drives."""
    request = ReleaseTaskRecordRequest(
        id=record.id,
        executor_id=record.executor_id,
        lease_epoch=record.lease_epoch,
        reason=reason,
    )
    try:
        await calls.ask(client.records.ReleaseTaskRecord, request)
    except CallError as exc:  # it is not ours any more, which is what was wanted
        log.info("run %s: not handed back: %s", record.id, exc)


def ended(record: TaskRecord) -> StopReason:
    """Why code stops whose run somebody else has made final."""
    return StopReason.CANCELED if record.status == CANCELED else StopReason.ENDED
