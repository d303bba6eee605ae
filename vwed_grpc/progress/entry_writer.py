"""Group commit of entries: what is set while a transaction is under way shares the next one.

Each tenant has a lane, as in `writer`. Sets of one key in one transaction take effect one after the
other, each with a version of its own, though others see the last alone.
"""

import asyncio
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.exc import DBAPIError
from vwed.v1.cache_service_pb2 import SetDataCacheRequest
from vwed.v1.data_cache_pb2 import DataCache

from vwed_grpc.domain.entries import entry_of
from vwed_grpc.domain.errors import VwedError
from vwed_grpc.progress.commit import Committer, Effects
from vwed_grpc.storage import task_records
from vwed_grpc.storage.data_cache_put import do_not_wait, put
from vwed_grpc.storage.database import Deadline, Transaction, sqlstate

FLUSH_ENTRIES = 200
FLUSH_BYTES = 4 << 20
LANES_AT_ONCE = 2
_LOCKED = "55P03"


@dataclass(slots=True, eq=False)
class _Set:
    request: SetDataCacheRequest
    answer: asyncio.Future[DataCache]
    remaining: Deadline


class EntryWriter:
    """Takes sets without a precondition and answers each once it is committed."""

    def __init__(self, committer: Committer) -> None:
        self._committer = committer
        self._lanes: dict[str, deque[_Set]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._turns = asyncio.Semaphore(LANES_AT_ONCE)

    async def set(
        self, tenant: str, request: SetDataCacheRequest, remaining: Deadline
    ) -> DataCache:
        """The entry as it is stored.

        Raises InvalidArgument, NotFound for its run, and the store's own errors.
        """
        one = _Set(request, asyncio.get_running_loop().create_future(), remaining)
        if tenant in self._lanes:
            self._lanes[tenant].append(one)
        else:
            self._lanes[tenant] = deque([one])
            task = asyncio.create_task(self._run(tenant))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await one.answer

    async def _run(self, tenant: str) -> None:
        lane = self._lanes[tenant]
        while lane:
            async with self._turns:
                lane += await self._write(tenant, _take(lane))
        del self._lanes[tenant]

    async def _write(self, tenant: str, sets: Sequence[_Set]) -> Sequence[_Set]:
        """Answers the sets, one transaction for all; gives back those that somebody is in front of.

        Such a one must not hold up the others: it is found by halving.
        """
        if not sets:
            return []
        outcomes: Mapping[_Set, DataCache | Exception]
        try:
            outcomes = await self._flush(tenant, sets)
        except DBAPIError as exc:
            if sqlstate(exc) == _LOCKED:
                half = len(sets) // 2
                if not half:
                    return sets
                return [
                    *await self._write(tenant, sets[:half]),
                    *await self._write(tenant, sets[half:]),
                ]
            outcomes = dict.fromkeys(sets, exc)
        except Exception as exc:  # noqa: BLE001 - each caller's edge maps it
            outcomes = dict.fromkeys(sets, exc)
        for one, outcome in outcomes.items():
            if one.answer.done():
                continue
            if isinstance(outcome, Exception):
                one.answer.set_exception(outcome)
            else:
                one.answer.set_result(outcome)
        return []

    async def _flush(
        self, tenant: str, sets: Sequence[_Set]
    ) -> Mapping[_Set, DataCache | VwedError]:
        async def work(tx: Transaction, effects: Effects) -> Mapping[_Set, DataCache | VwedError]:
            # A later try must not write what a caller who left has meanwhile said elsewhere.
            waiting = [one for one in sets if not one.answer.done()]
            await do_not_wait(tx)
            outcomes = await _put(tx, effects, tenant, [one.request for one in waiting])
            return dict(zip(waiting, outcomes, strict=True))

        def remaining() -> float | None:
            lefts = [left for one in sets if (left := one.remaining()) is not None]
            return max(lefts) if len(lefts) == len(sets) else None

        return await self._committer.run(work, remaining)


def _take(lane: deque[_Set]) -> list[_Set]:
    """The next whose callers still wait."""
    taken: list[_Set] = []
    room = FLUSH_BYTES
    while lane and len(taken) < FLUSH_ENTRIES and room > 0:
        one = lane.popleft()
        if not one.answer.done():
            taken.append(one)
            room -= one.request.ByteSize()
    return taken


async def _put(
    tx: Transaction, effects: Effects, tenant: str, requests: Sequence[SetDataCacheRequest]
) -> list[DataCache | VwedError]:
    """What each request came to."""
    outcomes: dict[int, DataCache | VwedError] = {}
    for n, request in enumerate(requests):
        try:
            outcomes[n] = entry_of(request, tx.now)
        except VwedError as refusal:
            outcomes[n] = refusal
    entries = {n: entry for n, entry in outcomes.items() if isinstance(entry, DataCache)}
    for turn in _turns(entries):
        written = await put(tx, tenant, [entries[n] for n in turn])
        for n, done in zip(turn, written, strict=True):
            if not done:
                outcomes[n] = task_records.missing(entries[n].task_record_id)
    for run, key in {(entry.task_record_id, entry.key) for entry in entries.values()}:
        effects.entries_changed(tenant, run, [key])
    return [outcomes[n] for n in range(len(requests))]


def _turns(entries: Mapping[int, DataCache]) -> Iterator[list[int]]:
    """All of them, in turns that have no key twice."""
    left = dict(entries)
    while left:
        firsts: dict[tuple[str, str], int] = {}
        for n, entry in left.items():
            firsts.setdefault((entry.task_record_id, entry.key), n)
        turn = list(firsts.values())
        for n in turn:
            del left[n]
        yield turn
