"""What keeps a run in this process's hands: heartbeats, and a word when it stands."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from vwed.v1.record_service_pb2 import HeartbeatTaskRecordRequest, PauseTaskRecordRequest
from vwed.v1.task_record_pb2 import TaskRecord

from vwed.client.connection import Client
from vwed.client.errors import Aborted, CallError, IllegalTransition
from vwed.client.executor.block_entry import BlockEntry
from vwed.client.executor.clock import ServiceClock, now
from vwed.client.executor.fenced_calls import FencedCalls
from vwed.client.executor.persistent_calls import TRY_SECONDS
from vwed.client.executor.retaking import Retaking
from vwed.client.executor.statuses import FINAL, INTERRUPTED, PAUSING

_WORDS_SECONDS = 1.0
"""New words for people are said at most this often."""
_SHORTEST_TRY = 2.0
_AFTER_REFUSAL = 1.0


@dataclass(frozen=True, slots=True)
class Words:
    """What the executor says about the run, for people."""

    robot_id: str = ""
    message: str = ""


class Heartbeats:
    """One run's heartbeats: at once, each third of the lease unless reports do it, and when asked.

    Whatever is learned of the run elsewhere only asks for a heartbeat; its answer decides.
    """

    def __init__(
        self,
        client: Client,
        holding: FencedCalls,
        retaking: Retaking,
        clock: ServiceClock,
        *,
        run_id: str,
        see: Callable[[TaskRecord], None],
    ) -> None:
        self.words = Words()
        self._said = Words()
        self._client = client
        self._fenced = holding
        self._lease = holding.lease
        self._retaking = retaking
        self._clock = clock
        self._run_id = run_id
        self._see = see
        self._every = self._lease.seconds / 3
        self._try = min(TRY_SECONDS, max(_SHORTEST_TRY, self._every))
        self._beaten = now()
        self._asked = True
        """At first too: what was told of the run before it was here has found nobody."""
        self._woken = asyncio.Event()

    def look(self) -> None:
        """Ask the service now."""
        self._asked = True
        self._woken.set()

    def say(self, words: Words) -> None:
        self.words = words
        self._woken.set()

    async def keep(self, entry: BlockEntry) -> None:
        """For as long as the run is this executor's; raises RunOver."""
        while entry.closed is None:
            await self._until_due()
            self._asked = False
            try:
                record = await self._beat()
                entry.changed.ring()
                if record.status in FINAL:
                    return
                if record.status == PAUSING and entry.may_say_paused():
                    await self._say_paused(record)
            except CallError as exc:  # nothing that we know of; the lease may run out over it
                self._fenced.calls.failed(exc, since=self._beaten)
                await asyncio.sleep(_AFTER_REFUSAL)

    async def _until_due(self) -> None:
        while not self._asked:
            self._woken.clear()
            due = self._lease.renewed + self._every
            if self.words != self._said:
                due = min(due, self._beaten + _WORDS_SECONDS)
            if (left := due - now()) <= 0:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._woken.wait()

    async def _beat(self) -> TaskRecord:
        self._beaten = now()
        words = self.words
        request = HeartbeatTaskRecordRequest(
            id=self._run_id, message=words.message, robot_id=words.robot_id
        )
        method = self._client.records.HeartbeatTaskRecord
        answer = await self._fenced.call(method, request, seconds=self._try)
        self._said = words
        record = answer.response
        if self._lease.is_held_by(record):
            self._lease.renew(answer.sent)
            self._clock.learn(answer.sent, answer.received, record.update_time)
        self._see(record)
        if record.status == INTERRUPTED and self._lease.is_epoch_of(record):
            self._lease.end()
            await self._retaking.retake(record.lease_epoch)
        return record

    async def _say_paused(self, pausing: TaskRecord) -> None:
        """Of the pause that was seen; if it was resumed meanwhile, this is refused."""
        request = PauseTaskRecordRequest(id=self._run_id, etag=pausing.etag)
        try:
            answer = await self._fenced.call(self._client.records.PauseTaskRecord, request)
        except (Aborted, IllegalTransition):
            self.look()
        else:
            self._see(answer.response)
