"""Group commit: reports that arrive while a transaction is under way share the next one.

Each tenant has a lane. A lane flushes what has arrived, in the order of arrival, one transaction at
a time; lanes take turns, so a busy tenant does not keep others waiting.
"""

import asyncio
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy.exc import DBAPIError

from vwed_grpc.domain.errors import DeadlineExceeded, ResourceExhausted
from vwed_grpc.progress.commit import Committer, Effects
from vwed_grpc.progress.flush import Answer, Busy, Outcome, Report, flush
from vwed_grpc.storage.database import Deadline, Transaction, longest

FLUSH_BLOCKS = 500
"""A flush takes about this many: more would hold the event loop and the runs' locks too long."""
QUEUE_BLOCKS = 20_000
"""A lane holds at most these; further callers wait for room under their deadline."""
LANES_AT_ONCE = 2
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
    """A tenant's queue, and the task that empties it while there is something in it."""

    def __init__(self) -> None:
        self.entries: deque[_Entry] = deque()
        self.busy: deque[_Entry] = deque()
        """Of runs that somebody else is changing: they come again, before later ones of the run."""
        self.blocks = 0
        self.room = asyncio.Event()
        self.room.set()
        self.task: asyncio.Task[None] | None = None

    def add(self, entry: _Entry) -> None:
        self.entries.append(entry)
        self._hold(len(entry.report.blocks))

    def take(self) -> list[_Entry]:
        """The next entries whose callers still wait.

        Those of busy runs take nobody's place: the others would wait for these runs as well.
        """
        taken = self._take(self.busy, ())
        return taken + self._take(self.entries, {e.report.run for e in self.busy})

    def _take(self, queue: deque[_Entry], behind: Collection[str]) -> list[_Entry]:
        taken: list[_Entry] = []
        blocks, now = 0, asyncio.get_running_loop().time()
        while queue and (not taken or blocks < FLUSH_BLOCKS):
            entry = queue.popleft()
            if entry.report.run in behind:
                self.busy.append(entry)
                continue
            if entry.until < now and not entry.answer.done():
                entry.answer.set_exception(_late())
            if entry.answer.done():
                self.release([entry])
            else:
                taken.append(entry)
                blocks += len(entry.report.blocks)
        return taken

    def put_back(self, entries: list[_Entry]) -> None:
        """Busy runs' reports, in their order."""
        self.busy.extendleft(reversed(entries))

    def release(self, entries: Iterable[_Entry]) -> None:
        """What is answered makes room."""
        self._hold(-sum(len(e.report.blocks) for e in entries))

    def _hold(self, blocks: int) -> None:
        self.blocks += blocks
        if self.blocks >= QUEUE_BLOCKS:
            self.room.clear()
        else:
            self.room.set()


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

    def __init__(self, committer: Committer) -> None:
        self._committer = committer
        self._lanes: dict[str, _Lane] = {}
        self._turns = asyncio.Semaphore(LANES_AT_ONCE)

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
        if lane.task is None:
            lane.task = asyncio.create_task(self._run(tenant, lane))
        return entry.answer

    async def _run(self, tenant: str, lane: _Lane) -> None:
        try:
            while lane.entries or lane.busy:
                async with self._turns:
                    entries = lane.take()
                    busy = await self._write(tenant, entries)
                    lane.release(set(entries).difference(busy))
                if busy:
                    lane.put_back(busy)
                    await asyncio.sleep(_BUSY_PAUSE)
        finally:
            lane.task = None
            if not (lane.entries or lane.busy):
                self._lanes.pop(tenant, None)

    async def _write(self, tenant: str, entries: list[_Entry]) -> list[_Entry]:
        """Answers the entries, one transaction for all; those of busy runs are given back."""
        if not entries:
            return []
        outcomes: Mapping[_Entry, Outcome]
        try:
            outcomes = await self._flush(tenant, entries)
        except DBAPIError as exc:
            if len(entries) > 1 and not exc.connection_invalidated:
                return await self._write_apart(tenant, entries)
            outcomes = dict.fromkeys(entries, exc)
        except Exception as exc:  # noqa: BLE001 - each caller's edge maps it
            outcomes = dict.fromkeys(entries, exc)
        busy = []
        for entry, outcome in outcomes.items():
            if entry.answer.done():
                continue
            if isinstance(outcome, Busy):
                busy.append(entry)
            elif isinstance(outcome, Exception):
                entry.answer.set_exception(outcome)
            else:
                entry.answer.set_result(outcome)
        return busy

    async def _write_apart(self, tenant: str, entries: list[_Entry]) -> list[_Entry]:
        """One by one: there is something in there that PostgreSQL cannot take."""
        busy: list[_Entry] = []
        for entry in entries:
            if any(entry.report.run == before.report.run for before in busy):
                busy.append(entry)  # a run's reports keep their order
            else:
                busy += await self._write(tenant, [entry])
        return busy

    async def _flush(self, tenant: str, entries: list[_Entry]) -> Mapping[_Entry, Outcome]:
        async def work(tx: Transaction, effects: Effects) -> Mapping[_Entry, Outcome]:
            # A later try must not write what a caller who left has meanwhile said elsewhere.
            waiting = [entry for entry in entries if not entry.answer.done()]
            outcomes, changed = await flush(tx, tenant, [e.report for e in waiting])
            for state in changed:
                effects.run_changed(tenant, state.id, state.news)
            return dict(zip(waiting, outcomes, strict=True))

        return await self._committer.run(work, longest([e.remaining for e in entries]))
