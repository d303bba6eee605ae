"""What a run has to say of its blocks, in order, until the service has taken it."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice

from vwed.v1.block_record_pb2 import BlockRecord

from vwed.client.errors import CallError
from vwed.client.executor.stopping import RunOver, StopReason

log = logging.getLogger("vwed.executor")

MOST_WAITING = 10_000
"""Reports of a run; from there on, entering a block waits."""
BATCH_BLOCKS = 1_000
BATCH_BYTES = 3 * 1024 * 1024

Deliver = Callable[[Sequence[BlockRecord]], Awaitable[None]]
"""Sends one batch until it is answered. Raises CallError if the service refuses what it says, and
RunOver if nobody wants it any more."""


class Reports:
    """One run's buffer: one batch under way, and the next one gathers meanwhile."""

    def __init__(
        self,
        deliver: Deliver,
        *,
        taken: Callable[[], None],
        refused: Callable[[BlockRecord, CallError], None],
    ) -> None:
        """`taken` is told after each batch, `refused` of each report that was left out."""
        self._deliver = deliver
        self._taken = taken
        self._refused = refused
        self._waiting: deque[BlockRecord] = deque()
        self._filled = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._count = 0
        """Of all that was ever put."""
        self._under_way = 0
        """How many, from the first one on, are being sent."""
        self._over: StopReason | None = None

    def put(self, report: BlockRecord) -> int:
        """Its number, by which `is_waiting` knows it."""
        self._count += 1
        if self._over is None:
            self._waiting.append(report)
            if len(self._waiting) == 1:
                self._filled.set()
                self._empty.clear()
        return self._count

    def is_waiting(self, number: int) -> bool:
        """Whether it may still be changed: it was not sent yet."""
        return number > self._count - len(self._waiting) + self._under_way

    @property
    def is_full(self) -> bool:
        return len(self._waiting) >= MOST_WAITING

    @property
    def is_empty(self) -> bool:
        return not self._waiting

    async def flush(self) -> None:
        """Returns when all that was put is taken, or refused. Raises RunOver."""
        await self._empty.wait()
        if self._over is not None:
            raise RunOver(self._over)

    def close(self, reason: StopReason) -> None:
        """Nothing more is sent, and nothing more is taken in."""
        if self._over is None:
            self._over = reason
            if self._waiting:
                log.warning("%d reports were not sent: %s", len(self._waiting), reason.value)
            self._waiting.clear()
            self._under_way = 0
            self._empty.set()

    async def send(self) -> None:
        """For as long as the run goes on; raises RunOver."""
        while self._over is None:
            await self._filled.wait()
            batch = self._next_batch()
            self._under_way = len(batch)
            await self._send(batch)
            self._remove(len(batch))
            self._taken()

    def _next_batch(self) -> Sequence[BlockRecord]:
        batch: list[BlockRecord] = []
        size = 0
        for report in islice(self._waiting, BATCH_BLOCKS):
            size += report.ByteSize()
            if size > BATCH_BYTES and batch:
                break
            batch.append(report)
        return batch

    async def _send(self, batch: Sequence[BlockRecord]) -> None:
        """A report that is refused takes none of the others with it."""
        try:
            await self._deliver(batch)
        except CallError as refusal:
            if len(batch) == 1:
                self._refused(batch[0], refusal)
                return
            half = len(batch) // 2
            await self._send(batch[:half])
            await self._send(batch[half:])

    def _remove(self, count: int) -> None:
        if self._over is not None:
            return
        for _ in range(count):
            self._waiting.popleft()
        self._under_way = 0
        if not self._waiting:
            self._filled.clear()
            self._empty.set()
