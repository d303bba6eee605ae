"""The RPCs that read a run's data cache."""

from dataclasses import dataclass

from vwed.v1.cache_service_pb2 import (
    BatchGetDataCacheRequest,
    BatchGetDataCacheResponse,
    GetDataCacheRequest,
    ListDataCacheRequest,
    ListDataCacheResponse,
)
from vwed.v1.common_pb2 import View

from vwed_grpc.cache.keys import RUN_TTL, KeySpace
from vwed_grpc.cache.read_through import Loaded, ReadThrough
from vwed_grpc.rpc.call import Call
from vwed_grpc.services.listing import list_page, list_response
from vwed_grpc.storage import data_cache, task_records
from vwed_grpc.storage.pool import Pool, ReadingPool

_EXACT = 1.0
"""Seconds before its end from which on an entry is answered by PostgreSQL alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheReads:
    live: ReadingPool
    bulk: ReadingPool
    figures: Pool
    cache: ReadThrough
    keys: KeySpace

    async def GetDataCache(self, request: GetDataCacheRequest, call: Call) -> bytes:
        async def load() -> Loaded:
            found = await data_cache.get(
                self.live, call.tenant, run=request.task_record_id, key=request.key
            )
            if found is None:
                return Loaded(None)
            entry, left = found
            return Loaded(entry.SerializeToString(), None if left is None else left - _EXACT)

        key = self.keys.key("data_cache", call.tenant, request.task_record_id, request.key)
        answer = await self.cache.get(key, RUN_TTL, load, strong=call.strong)
        if answer is None:
            raise data_cache.missing(request.key)
        return answer

    async def BatchGetDataCache(self, request: BatchGetDataCacheRequest, call: Call) -> bytes:
        found = await data_cache.LISTING.batch(
            self.bulk,
            data_cache.where(call.tenant, request.task_record_id),
            request.keys,
            full=request.view == View.VIEW_FULL,
        )
        if not found:
            await task_records.require(self.live, call.tenant, request.task_record_id)
        items = [found[key] for key in request.keys if key in found]
        missing = [key for key in request.keys if key not in found]
        answer = BatchGetDataCacheResponse(missing_keys=missing)
        return await list_response(answer, "data_caches", items)

    async def ListDataCache(self, request: ListDataCacheRequest, call: Call) -> bytes:
        page = await list_page(
            call,
            request,
            bulk=self.bulk,
            figures=self.figures,
            listing=data_cache.LISTING,
            where=data_cache.where(call.tenant, request.task_record_id, request.key_prefix),
            default_order="key",
            tie_breaker="key",
        )
        if not page.items and not request.page_token:
            await task_records.require(self.live, call.tenant, request.task_record_id)
        return await page.response(ListDataCacheResponse, "data_caches")
