"""How runs come to this process: one claim at a time, each answered once."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from itertools import cycle
from typing import NoReturn, Protocol
from uuid import uuid4

from vwed.v1.record_service_pb2 import ClaimTaskRecordsRequest, ClaimTaskRecordsResponse
from vwed.v1.task_record_pb2 import TaskRecord

from vwed.client.connection import Client
from vwed.client.errors import AlreadyExists, CallError
from vwed.client.executor.clock import duration, now
from vwed.client.executor.persistent_calls import TRY_SECONDS, PersistentCalls
from vwed.client.executor.retaking import release
from vwed.client.executor.statuses import HELD
from vwed.client.executor.stopping import StopReason
from vwed.client.executor.tasks import ClaimFilter, Task, claim_filters

log = logging.getLogger("vwed.executor")

WAIT = 20.0
"""Seconds that a claim waits for a run; balancers cut idle streams after 60."""
_WAIT_IN_TURN = 1.0
"""When several claims take turns."""
_LAST_TRY = 1.0
"""Seconds, for what a claim was given that is to be answered no more."""
_MOST = 100


class RunSink(Protocol):
    """Where runs go."""

    async def places(self) -> int:
        """How many more runs there may be; waits until there may be one."""

    def take(self, task: Task, record: TaskRecord, sent: float) -> None:
        """The run is this process's, by a claim that was made then."""

    def adopt(self, record: TaskRecord, sent: float) -> bool:
        """Whether it is a run that is driven here already, and goes on."""


class Claims:
    def __init__(
        self,
        client: Client,
        calls: PersistentCalls,
        sink: RunSink,
        tasks: Sequence[Task],
        *,
        executor_id: str,
        lease: float,
    ) -> None:
        self._client = client
        self._calls = calls
        self._sink = sink
        self._filters = claim_filters(tasks)
        self._executor_id = executor_id
        self._lease = lease
        self._unanswered: ClaimTaskRecordsRequest | None = None
        self._settled = asyncio.Event()
        self._settled.set()

    async def claim(self) -> NoReturn:
        """Until cancelled. Raises CallError if the service has something against the claim."""
        for asked in cycle(self._filters):
            places = await self._sink.places()
            request = self._request(asked, places)
            self._unanswered = request
            self._settled.clear()
            try:
                answer = await self._calls.ask(
                    self._client.records.ClaimTaskRecords,
                    request,
                    seconds=request.wait.seconds + TRY_SECONDS,
                )
            except AlreadyExists:
                # A service of another version does not recognise what it is asked again. Whatever
                # was claimed is claimed anew when its lease is over.
                log.warning("the answer to a claim was lost")
            else:
                for record in self._ours(answer.response):
                    self._sink.take(asked.task_of(record), record, answer.sent)
            self._unanswered = None
            self._settled.set()
        raise AssertionError  # an executor without tasks does not begin

    async def settled(self) -> None:
        """Returns when no claim waits for its answer, and what was answered is handed out."""
        await self._settled.wait()

    async def end(self) -> None:
        """After `claim` was cancelled: hands back what its last call may have been given."""
        if self._unanswered is None:
            return
        # The same claim, whose answer waits for nothing.
        self._unanswered.ClearField("wait")
        sent = now()
        try:
            response = await self._client.records.ClaimTaskRecords(
                self._unanswered, timeout=_LAST_TRY
            )
        except CallError:
            return  # the service is away; a lease that nobody renews runs out
        finally:
            self._settled.set()
        with suppress(TimeoutError):  # the same
            async with asyncio.timeout(self._lease):
                for record in self._ours(response):
                    if not self._sink.adopt(record, sent):
                        why = StopReason.RELEASED.value
                        await release(self._client, self._calls, record, reason=why)

    def _request(self, asked: ClaimFilter, places: int) -> ClaimTaskRecordsRequest:
        wait = WAIT if len(self._filters) == 1 else _WAIT_IN_TURN
        return ClaimTaskRecordsRequest(
            executor_id=self._executor_id,
            filter=asked.filter,
            include_interrupted=True,
            lease=duration(self._lease),
            max_count=min(places, _MOST),
            wait=duration(wait),
            request_id=str(uuid4()),
        )

    def _ours(self, response: ClaimTaskRecordsResponse) -> list[TaskRecord]:
        """What we hold: the answer to a repeated claim tells how its runs are now."""
        return [
            record
            for record in response.task_records
            if record.executor_id == self._executor_id and record.status in HELD
        ]
