"""CacheService: the values that the blocks of a run hand to each other."""

from datetime import datetime, timedelta

from google.protobuf.empty_pb2 import Empty
from vwed.v1.cache_service_pb2 import (
    DeleteDataCacheRequest,
    GetDataCacheRequest,
    ListDataCacheRequest,
    ListDataCacheResponse,
    SetDataCacheRequest,
)
from vwed.v1.data_cache_pb2 import DataCache, DataCacheType

from vwed_grpc.cache.read_through import Loaded
from vwed_grpc.domain.errors import FailedPrecondition, InvalidArgument
from vwed_grpc.progress.commit import Effects
from vwed_grpc.rpc.call import Call
from vwed_grpc.services.backend import RUN_TTL, Servicer
from vwed_grpc.storage import data_cache, rows, task_records
from vwed_grpc.storage.database import Transaction

LONGEST = timedelta(days=366)
_EXACT = 1.0
"""Seconds before its end from which on an entry is answered by PostgreSQL alone."""


class CacheService(Servicer):
    async def SetDataCache(self, request: SetDataCacheRequest, call: Call) -> DataCache:
        given = request.data_cache
        entry = DataCache()
        entry.CopyFrom(given)
        entry.type = value_type(given)

        async def work(tx: Transaction, effects: Effects) -> DataCache:
            run = given.task_record_id
            if await task_records.keep(tx, call.tenant, run) is None:
                raise task_records.missing(run)
            entry.ClearField("expire_time")
            rows.put_time(entry.expire_time, expiration(request, tx.now))
            if request.HasField("if_version"):
                await _at_version(tx, call, run, given.key, request.if_version)
            written = await data_cache.put(tx, call.tenant, run, entry, if_absent=request.if_absent)
            if written is None:
                raise FailedPrecondition(
                    "KEY_EXISTS", f"there is an entry {given.key!r}", metadata={"key": given.key}
                )
            effects.stale.append(self._key(call, run, given.key))
            return written

        return await self.write(call, work)

    async def GetDataCache(self, request: GetDataCacheRequest, call: Call) -> bytes:
        b = self.backend

        async def load() -> Loaded:
            found = await data_cache.get(
                b.database, call.tenant, request.task_record_id, request.key
            )
            if found is None:
                return Loaded(None)
            entry, left = found
            return Loaded(entry.SerializeToString(), None if left is None else left - _EXACT)

        key = self._key(call, request.task_record_id, request.key)
        answer = await b.cache.get(key, RUN_TTL, load, strong=call.strong)
        if answer is None:
            raise data_cache.missing(request.key)
        return answer

    async def ListDataCache(
        self, request: ListDataCacheRequest, call: Call
    ) -> ListDataCacheResponse:
        items, token, total = await self.page(
            request,
            data_cache.listing(),
            data_cache.where(call.tenant, request.task_record_id, request.key_prefix),
            fields=frozenset({"key"}),
            default="key",
            tie_breaker="key",
        )
        return ListDataCacheResponse(data_caches=items, next_page_token=token, total_size=total)

    async def DeleteDataCache(self, request: DeleteDataCacheRequest, call: Call) -> Empty:
        async def work(tx: Transaction, effects: Effects) -> Empty:
            run, key = request.task_record_id, request.key
            entry = await data_cache.lock(tx, call.tenant, run, key)
            if entry is None:
                raise data_cache.missing(key)
            if request.HasField("if_version"):
                _same_version(entry, request.if_version)
            await data_cache.delete(tx, call.tenant, run, key)
            effects.stale.append(self._key(call, run, key))
            return Empty()

        return await self.write(call, work)

    def _key(self, call: Call, run: str, key: str) -> str:
        return self.backend.keys.key("data_cache", call.tenant, run, key)


def value_type(entry: DataCache) -> DataCacheType.ValueType:
    """The type that the entry's value has. Raises InvalidArgument without a value."""
    which = entry.WhichOneof("value")
    if which is None:
        raise InvalidArgument.of("data_cache.value", "is required")
    return DataCacheType.Value(f"DATA_CACHE_TYPE_{which.upper()}")


def expiration(request: SetDataCacheRequest, now: datetime) -> datetime | None:
    """When the entry is to expire. Raises InvalidArgument unless within the next 366 days."""
    match request.WhichOneof("expiration"):
        case "ttl":
            return now + rows.span(request.ttl)
        case "expire_time":
            at = rows.moment(request.expire_time)
            if not now < at <= now + LONGEST:
                raise InvalidArgument.of("expire_time", "must be within the next 366 days")
            return at
        case _:
            return None


async def _at_version(tx: Transaction, call: Call, run: str, key: str, version: int) -> None:
    entry = await data_cache.lock(tx, call.tenant, run, key)
    if entry is None:
        raise FailedPrecondition("KEY_ABSENT", f"there is no entry {key!r}", metadata={"key": key})
    _same_version(entry, version)


def _same_version(entry: DataCache, version: int) -> None:
    if entry.version != version:
        raise FailedPrecondition(
            "VERSION_MISMATCH",
            f"the entry has version {entry.version}",
            metadata={"key": entry.key, "version": str(entry.version)},
        )
