"""Group commit: reports that arrive while a transaction is under way share the next one.

Each tenant has a lane. A lane flushes what has arrived; a run is in one flush at a time, so its
reports keep their order. Lanes take turns, so a busy tenant does not keep others waiting.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from vwed_grpc.batching import in_parts
from vwed_grpc.domain.errors import DeadlineExceeded, ResourceExhausted
from vwed_grpc.storage.pool import Deadline, Pool, longest
from vwed_grpc.storage.transaction import Transaction
from vwed_grpc.writes.commit import Committer, Effects
from vwed_grpc.writes.flush import Answer, Busy, Outcome, Report, flush

FLUSH_BLOCKS = 500
"""A flush takes about this many: more would hold the event loop and the runs' locks too long."""
QUEUE_BLOCKS = 20_000
"""A lane holds at most these; further callers wait for room under their deadline."""
LANE_FLUSHES = 2
"""A lane has at most this many flushes at once, of different runs."""
FLUSHES = 4
"""All lanes together have at most these; they take turns."""
_BUSY_PAUSE = 0.005
_NO_DEADLINE = 30.0  # seconds that a caller without a deadline waits
_LAST_WORD = 0.1  # seconds that an answer may take to the caller


@dataclass(slots=True, eq=False)
class _Entry:
    report: Report
    answer: asyncio.Future[Answer]
    remaining: Deadline
    until: float
    """When it is not to be begun any more, by the loop's clock."""


class _Lane:
    """A tenant's queue: the reports of each run in their order, the runs by who waits longest."""

    def __init__(self) -> None:
        self.waiting: dict[str, deque[_Entry]] = {}
        self.away: set[str] = set()
        """Runs that a flush has, or that rest because somebody else is changing them."""
        self.flushes = 0
        self.room = asyncio.Event()
        self.room.set()
        self._held = 0
        """Blocks that are waiting or under way."""
        self._under_way = 0

    @property
    def ready(self) -> bool:
        """Whether there is something to flush."""
        return any(run not in self.away for run in self.waiting)

    @property
    def is_full(self) -> bool:
        """Whether enough waits to be worth a flush beside the one that is under way."""
        return self.waits >= FLUSH_BLOCKS

    @property
    def is_done(self) -> bool:
        return not (self.waiting or self.away or self.flushes)

    def add(self, entry: _Entry) -> None:
        self.waiting.setdefault(entry.report.run, deque()).append(entry)
        self._hold(len(entry.report.blocks))

    @property
    def waits(self) -> int:
        """Blocks that no flush has taken."""
        return self._held - self._under_way

    def take(self) -> list[_Entry]:
        """The next entries whose callers still wait; their runs are away until `give_back`."""
        taken: list[_Entry] = []
        blocks = 0
        for run in [run for run in self.waiting if run not in self.away]:
            if blocks >= FLUSH_BLOCKS:
                break
            queue = self.waiting.pop(run)
            while queue and blocks < FLUSH_BLOCKS:
                entry = queue.popleft()
                if _waits(entry):
                    taken.append(entry)
                    blocks += len(entry.report.blocks)
                    self.away.add(run)
                else:
                    self._hold(-len(entry.report.blocks))
            if queue:
                self.waiting[run] = queue  # behind the others, for it has had its turn
        self._under_way += blocks
        return taken

    def give_back(self, taken: list[_Entry], busy: list[_Entry]) -> None:
        """What was taken is answered, but for the entries of busy runs, which come again."""
        self._under_way -= _blocks(taken)
        self._hold(_blocks(busy) - _blocks(taken))
        for entry in reversed(busy):
            self.waiting.setdefault(entry.report.run, deque()).appendleft(entry)
        self.away -= _runs(taken) - _runs(busy)

    def _hold(self, blocks: int) -> None:
        self._held += blocks
        if self._held >= QUEUE_BLOCKS:
            self.room.clear()
        else:
            self.room.set()


def _waits(entry: _Entry) -> bool:
    """Whether the caller still does; who waits too long is told so."""
    if not entry.answer.done() and entry.until < asyncio.get_running_loop().time():
        entry.answer.set_exception(_late())
    return not entry.answer.done()


def _blocks(entries: Iterable[_Entry]) -> int:
    return sum(len(entry.report.blocks) for entry in entries)


def _runs(entries: Iterable[_Entry]) -> set[str]:
    return {entry.report.run for entry in entries}


def _late() -> DeadlineExceeded:
    return DeadlineExceeded("DEADLINE_EXCEEDED", "the report was not yet written")


async def _wait_for_room(lane: _Lane, left: float | None) -> None:
    """Raises ResourceExhausted a moment before the caller's deadline: it is to be heard."""
    patience = _NO_DEADLINE if left is None else left - min(_LAST_WORD, left / 10)
    try:
        async with asyncio.timeout(patience):
            while not lane.room.is_set():
                await lane.room.wait()
    except TimeoutError:
        raise ResourceExhausted("QUEUE_FULL", "too many reports are waiting") from None


class Writer:
    """Takes reports and answers each once its change is committed."""

    def __init__(self, committer: Committer, pool: Pool) -> None:
        self._committer = committer
        self._pool = pool
        self._lanes: dict[str, _Lane] = {}
        self._turns = asyncio.Semaphore(FLUSHES)
        self._tasks: set[asyncio.Task[None]] = set()

    async def report(self, tenant: str, report: Report, remaining: Deadline) -> Answer:
        """What is stored after the report.

        Raises VwedError as the contract says, ResourceExhausted if the queue stays full until the
        caller's deadline, and the store's own errors if it cannot be reached.
        """
        return await (await self.submit(tenant, report, remaining))

    async def submit(
        self, tenant: str, report: Report, remaining: Deadline
    ) -> asyncio.Future[Answer]:
        """Queues a report: those of one caller are applied in the order of these calls."""
        lane = self._lanes.setdefault(tenant, _Lane())
        loop, left = asyncio.get_running_loop(), remaining()
        until = loop.time() + (_NO_DEADLINE if left is None else left)
        entry = _Entry(report, loop.create_future(), remaining, until)
        # A stream whose caller left asks for no answer; a refusal is not news then.
        entry.answer.add_done_callback(lambda answer: answer.cancelled() or answer.exception())
        if not lane.room.is_set():
            await _wait_for_room(lane, remaining())
        # It may have been emptied, dropped, and begun anew meanwhile.
        lane = self._lanes.setdefault(tenant, lane)
        lane.add(entry)
        self._flush_more(tenant, lane)
        return entry.answer

    def _flush_more(self, tenant: str, lane: _Lane) -> None:
        """While PostgreSQL works on one flush, the next is made ready if it is worth it."""
        if lane.ready and (not lane.flushes or (lane.is_full and lane.flushes < LANE_FLUSHES)):
            lane.flushes += 1
            task = asyncio.create_task(self._run(tenant, lane))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self, tenant: str, lane: _Lane) -> None:
        while lane.ready:
            async with self._turns:
                taken = lane.take()
                self._flush_more(tenant, lane)
                busy = await self._write(tenant, taken)
            lane.give_back(taken, busy)
            if busy:
                asyncio.get_running_loop().call_later(
                    _BUSY_PAUSE, self._rested, tenant, lane, _runs(busy)
                )
        # Nothing comes in between: whoever adds a report from here on begins another flush.
        lane.flushes -= 1
        if lane.is_done and self._lanes.get(tenant) is lane:
            del self._lanes[tenant]

    def _rested(self, tenant: str, lane: _Lane, runs: set[str]) -> None:
        lane.away -= runs
        self._flush_more(tenant, lane)

    async def _write(self, tenant: str, entries: list[_Entry]) -> list[_Entry]:
        """Answers the entries, one transaction for all; those of busy runs are given back."""
        busy: set[str] = set()

        async def write(part: Sequence[_Entry]) -> Sequence[Outcome]:
            # A run's reports keep their order: what follows one that comes again does so as well.
            tried = [entry for entry in part if _waits(entry) and entry.report.run not in busy]
            outcomes = await self._flush(tenant, tried) if tried else {}
            busy.update(e.report.run for e in tried if isinstance(outcomes.get(e), Busy))
            return [outcomes.get(entry, Busy()) for entry in part]

        again = []
        for entry, outcome in zip(entries, await in_parts(write, entries), strict=True):
            if entry.answer.done():
                continue
            if isinstance(outcome, Busy):
                again.append(entry)
            elif isinstance(outcome, Exception):
                entry.answer.set_exception(outcome)
            else:
                entry.answer.set_result(outcome)
        return again

    async def _flush(self, tenant: str, entries: list[_Entry]) -> Mapping[_Entry, Outcome]:
        async def work(tx: Transaction, effects: Effects) -> Mapping[_Entry, Outcome]:
            # A later try must not write what a caller who left has meanwhile said elsewhere.
            waiting = [entry for entry in entries if not entry.answer.done()]
            outcomes, changed = await flush(tx, tenant, [e.report for e in waiting])
            for state in changed:
                effects.run_changed(tenant, state.id, state.news, state.robot_id)
            return dict(zip(waiting, outcomes, strict=True))

        return await self._committer.run(self._pool, work, longest([e.remaining for e in entries]))
