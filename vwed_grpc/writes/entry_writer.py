"""Group commit of entries.

Each tenant has a lane, as in `writer`. Sets of one key in one transaction take effect one after the
other, each with a version of its own, though others see the last alone.
"""

from collections.abc import Iterator, Mapping, Sequence

from vwed.v1.cache_service_pb2 import SetDataCacheRequest
from vwed.v1.data_cache_pb2 import DataCache

from vwed_grpc.batching import Batcher, in_halves
from vwed_grpc.domain.entries import Put, put_of
from vwed_grpc.domain.errors import VwedError
from vwed_grpc.storage.data_cache_put import put, refusal
from vwed_grpc.storage.pool import Deadline, Pool
from vwed_grpc.storage.transaction import Transaction
from vwed_grpc.writes.commit import Committer, Effects
from vwed_grpc.writes.group_commit import Flushed, group_commit

FLUSH_BYTES = 4 << 20
ENTRY_BYTES = 20 << 10
"""What an entry counts for beside its own size: some two hundred small ones share a transaction."""
QUEUE_BYTES = 64 << 20
"""A lane holds at most these, also of callers who left; others wait for room under their deadline.
"""
LANES_AT_ONCE = 2


class EntryWriter:
    """Takes sets without a precondition and answers each once it is committed."""

    def __init__(self, committer: Committer, pool: Pool, flushed: Flushed) -> None:
        self.lanes: Batcher[str, SetDataCacheRequest, DataCache] = Batcher(
            in_halves(group_commit(committer, pool, _write, flushed=flushed, wait_for_locks=False)),
            most=FLUSH_BYTES,
            weigh=lambda request: ENTRY_BYTES + request.ByteSize(),
            ordering_key=lambda request: (
                request.data_cache.task_record_id,
                request.data_cache.key,
            ),
            at_once=LANES_AT_ONCE,
            limit=QUEUE_BYTES,
        )

    async def set(
        self, tenant: str, request: SetDataCacheRequest, remaining: Deadline
    ) -> DataCache:
        """The entry as it is stored.

        Raises InvalidArgument, NotFound for its run, ResourceExhausted if the queue stays full
        until the caller's deadline, and the store's own errors.
        """
        return await self.lanes.ask(tenant, request, remaining())


async def _write(
    tx: Transaction, effects: Effects, tenant: str, requests: Sequence[SetDataCacheRequest]
) -> list[DataCache | Exception]:
    """What each request came to. Raises Locked: somebody is in front of one of them."""
    asked: dict[int, Put] = {}
    outcomes: dict[int, DataCache | Exception] = {}
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
