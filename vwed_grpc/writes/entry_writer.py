"""Group commit of entries: what is set while a transaction is under way shares the next one.

Each tenant has a lane, as in `writer`. Sets of one key in one transaction take effect one after the
other, each with a version of its own, though others see the last alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from vwed.v1.cache_service_pb2 import SetDataCacheRequest
from vwed.v1.data_cache_pb2 import DataCache

from vwed_grpc.batching import Again, Asked, Batcher, in_parts
from vwed_grpc.domain.entries import Put, put_of
from vwed_grpc.domain.errors import VwedError
from vwed_grpc.storage.data_cache_put import do_not_wait, put, refusal
from vwed_grpc.storage.errors import Locked
from vwed_grpc.storage.pool import Deadline, Pool, longest
from vwed_grpc.storage.transaction import Transaction
from vwed_grpc.writes.commit import Committer, Effects

FLUSH_BYTES = 4 << 20
ENTRY_BYTES = 20 << 10
"""What an entry counts for beside its own size: some two hundred small ones share a transaction."""
LANES_AT_ONCE = 2


@dataclass(slots=True)
class _Set:
    request: SetDataCacheRequest
    remaining: Deadline

    def weight(self) -> int:
        return ENTRY_BYTES + self.request.ByteSize()


class EntryWriter:
    """Takes sets without a precondition and answers each once it is committed."""

    def __init__(self, committer: Committer, pool: Pool) -> None:
        self._committer = committer
        self._pool = pool
        self._lanes: Batcher[str, _Set, DataCache] = Batcher(
            self._write, most=FLUSH_BYTES, weigh=_Set.weight, at_once=LANES_AT_ONCE
        )

    async def set(
        self, tenant: str, request: SetDataCacheRequest, remaining: Deadline
    ) -> DataCache:
        """The entry as it is stored.

        Raises InvalidArgument, NotFound for its run, and the store's own errors.
        """
        return await self._lanes.ask(tenant, _Set(request, remaining))

    async def _write(
        self, tenant: str, sets: list[Asked[_Set, DataCache]]
    ) -> Sequence[DataCache | Exception]:
        """One transaction for all; those that somebody is in front of come again."""

        async def write(part: Sequence[Asked[_Set, DataCache]]) -> Sequence[DataCache | Exception]:
            return await self._flush(tenant, part)

        outcomes = await in_parts(write, sets)
        return [Again() if isinstance(outcome, Locked) else outcome for outcome in outcomes]

    async def _flush(
        self, tenant: str, sets: Sequence[Asked[_Set, DataCache]]
    ) -> Sequence[DataCache | Exception]:
        async def work(tx: Transaction, effects: Effects) -> list[DataCache | Exception]:
            # A later try must not write what a caller who left has meanwhile said elsewhere.
            waiting = {n: one for n, one in enumerate(sets) if not one.left}
            await do_not_wait(tx)
            requests = [one.question.request for one in waiting.values()]
            outcomes = await _put(tx, effects, tenant, requests)
            done = dict(zip(waiting, outcomes, strict=True))
            return [done.get(n, Again()) for n in range(len(sets))]

        remaining = longest([one.question.remaining for one in sets])
        return await self._committer.run(self._pool, work, remaining)


async def _put(
    tx: Transaction, effects: Effects, tenant: str, requests: Sequence[SetDataCacheRequest]
) -> list[DataCache | VwedError]:
    """What each request came to."""
    asked: dict[int, Put] = {}
    outcomes: dict[int, DataCache | VwedError] = {}
    for n, request in enumerate(requests):
        try:
            asked[n] = put_of(request, tx.now)
        except VwedError as refused:
            outcomes[n] = refused
    for turn in _turns(asked):
        written = await put(tx, tenant, [asked[n] for n in turn])
        for n, done in zip(turn, written, strict=True):
            outcomes[n] = asked[n].entry if done else await refusal(tx, tenant, asked[n])
    for run, key in {(one.entry.task_record_id, one.entry.key) for one in asked.values()}:
        effects.entries_changed(tenant, run, [key])
    return [outcomes[n] for n in range(len(requests))]


def _turns(asked: Mapping[int, Put]) -> Iterator[list[int]]:
    """All of them, in turns that have no key twice."""
    left = dict(asked)
    while left:
        firsts: dict[tuple[str, str], int] = {}
        for n, one in left.items():
            firsts.setdefault((one.entry.task_record_id, one.entry.key), n)
        turn = list(firsts.values())
        for n in turn:
            del left[n]
        yield turn
