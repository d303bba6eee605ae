"""The RPCs that change a run's data cache."""

from collections.abc import Sequence
from dataclasses import dataclass

from google.protobuf.empty_pb2 import Empty
from vwed.v1.cache_service_pb2 import (
    BatchSetDataCacheRequest,
    BatchSetDataCacheResponse,
    ClearDataCacheRequest,
    ClearDataCacheResponse,
    DeleteDataCacheRequest,
    IncrementDataCacheRequest,
    SetDataCacheRequest,
    TouchDataCacheRequest,
)
from vwed.v1.data_cache_pb2 import DataCache

from vwed_grpc.domain.entries import (
    NOTHING,
    Put,
    check_batch,
    end_of,
    expire_time,
    put_of,
    replaceable,
    ttl,
)
from vwed_grpc.domain.errors import InvalidArgument
from vwed_grpc.domain.increment import check_delta, incremented
from vwed_grpc.loop.turns import Turns, in_turns
from vwed_grpc.rpc.call import Call
from vwed_grpc.services.idempotent import idempotent
from vwed_grpc.storage import data_cache, task_records
from vwed_grpc.storage.chunks import chunks
from vwed_grpc.storage.data_cache_put import put, refusal
from vwed_grpc.storage.pool import Pool
from vwed_grpc.storage.transaction import Transaction
from vwed_grpc.writes.commit import Committer, Effects
from vwed_grpc.writes.entry_writer import EntryWriter

_TOLD_AT_ONCE = 1_000
"""Keys whose cached values are no longer true; a thousand take 1 ms."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheWrites:
    live: Pool
    committer: Committer
    writer: EntryWriter

    async def SetDataCache(self, request: SetDataCacheRequest, call: Call) -> DataCache:
        if not request.data_cache.task_record_id:
            raise InvalidArgument.of("data_cache.task_record_id", "is required")
        if replaceable(request) is None:
            return await self.writer.set(call.tenant, request, call.remaining)

        async def work(tx: Transaction, effects: Effects) -> DataCache:
            asked = put_of(request, tx.now)
            await _put(tx, effects, call, asked=[asked])
            return asked.entry

        return await self.committer.run(self.live, work, call.remaining)

    async def BatchSetDataCache(
        self, request: BatchSetDataCacheRequest, call: Call
    ) -> BatchSetDataCacheResponse:
        check_batch(request)

        async def work(tx: Transaction, effects: Effects) -> list[Put]:
            def put_at(n: int) -> Put:
                asked = put_of(request.requests[n], tx.now, f"requests[{n}].")
                asked.entry.task_record_id = request.task_record_id
                return asked

            asked = await in_turns(put_at, range(len(request.requests)))
            await _put(tx, effects, call, asked=asked)
            return asked

        written = await self.committer.run(self.live, work, call.remaining)
        entries = [one.entry for one in written]
        for entry in entries:
            entry.ClearField("value")
        return BatchSetDataCacheResponse(data_caches=entries)

    async def IncrementDataCache(self, request: IncrementDataCacheRequest, call: Call) -> DataCache:
        check_delta(request)

        work = idempotent(
            call,
            request,
            make=lambda tx, effects: _increment(tx, effects, call, request=request),
            again=lambda tx, _: _present(tx, call, request),
        )
        return await self.committer.run(self.live, work, call.remaining)

    async def TouchDataCache(self, request: TouchDataCacheRequest, call: Call) -> DataCache:
        async def work(tx: Transaction, effects: Effects) -> DataCache:
            entry = await _present(tx, call, request)
            until, lifetime = expire_time(request, tx.now), ttl(request)
            if lifetime is None and until == end_of(entry):
                return entry
            await data_cache.touch(tx, call.tenant, entry, expire_time=until, ttl=lifetime)
            effects.entries_changed(call.tenant, entry.task_record_id, [entry.key])
            return entry

        return await self.committer.run(self.live, work, call.remaining)

    async def DeleteDataCache(self, request: DeleteDataCacheRequest, call: Call) -> Empty:
        async def work(tx: Transaction, effects: Effects) -> Empty:
            entry = await _present(tx, call, request)
            if request.HasField("if_version") and request.if_version != entry.version:
                raise data_cache.mismatch(entry)
            await data_cache.delete(tx, call.tenant, entry.task_record_id, keys=[entry.key])
            effects.entries_changed(call.tenant, entry.task_record_id, [entry.key])
            return Empty()

        return await self.committer.run(self.live, work, call.remaining)

    async def ClearDataCache(
        self, request: ClearDataCacheRequest, call: Call
    ) -> ClearDataCacheResponse:
        async def work(tx: Transaction, effects: Effects) -> ClearDataCacheResponse:
            run = request.task_record_id
            if await task_records.lock_shared(tx, call.tenant, run) is None:
                raise task_records.missing(run)
            cleared = await data_cache.clear(tx, call.tenant, run, prefix=request.key_prefix)
            turns = Turns()
            for some in chunks(cleared, _TOLD_AT_ONCE):
                effects.entries_changed(call.tenant, run, some)
                await turns.next()
            return ClearDataCacheResponse(deleted_count=len(cleared))

        return await self.committer.run(self.live, work, call.remaining)


async def _put(tx: Transaction, effects: Effects, call: Call, *, asked: Sequence[Put]) -> None:
    """Writes all of them. Raises NotFound for their run, FailedPrecondition, InvalidArgument."""
    for one, done in zip(asked, await put(tx, call.tenant, asked), strict=True):
        if not done:
            raise await refusal(tx, call.tenant, one)
    run = asked[0].entry.task_record_id
    effects.entries_changed(call.tenant, run, [one.entry.key for one in asked])


async def _increment(
    tx: Transaction, effects: Effects, call: Call, *, request: IncrementDataCacheRequest
) -> DataCache:
    run, key = request.task_record_id, request.key
    while True:
        present = await data_cache.lock(tx, call.tenant, run, key=key)
        entry = incremented(present, request)
        version = NOTHING if present is None else present.version
        if all(await put(tx, call.tenant, [Put(entry, replaceable=version)])):
            effects.entries_changed(call.tenant, run, [key])
            return entry
        # It was made meanwhile, or it ended: once more; unless there is nothing to put it in.
        if await task_records.lock_shared(tx, call.tenant, run) is None:
            raise task_records.missing(run)


async def _present(
    tx: Transaction,
    call: Call,
    request: IncrementDataCacheRequest | TouchDataCacheRequest | DeleteDataCacheRequest,
) -> DataCache:
    """The entry, locked. Raises NotFound."""
    entry = await data_cache.lock(tx, call.tenant, request.task_record_id, key=request.key)
    if entry is None:
        raise data_cache.missing(request.key)
    return entry
