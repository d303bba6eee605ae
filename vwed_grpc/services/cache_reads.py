"""The RPCs that read a run's data cache."""

from vwed.v1.cache_service_pb2 import (
    BatchGetDataCacheRequest,
    BatchGetDataCacheResponse,
    GetDataCacheRequest,
    ListDataCacheRequest,
    ListDataCacheResponse,
)
from vwed.v1.common_pb2 import View

from vwed_grpc.cache.read_through import Loaded
from vwed_grpc.rpc.call import Call
from vwed_grpc.services.backend import RUN_TTL, Servicer, list_response
from vwed_grpc.storage import data_cache

_EXACT = 1.0
"""Seconds before its end from which on an entry is answered by PostgreSQL alone."""


class CacheReads(Servicer):
    async def GetDataCache(self, request: GetDataCacheRequest, call: Call) -> bytes:
        b = self.backend

        async def load() -> Loaded:
            found = await data_cache.get(
                b.database.live, call.tenant, request.task_record_id, request.key
            )
            if found is None:
                return Loaded(None)
            entry, left = found
            return Loaded(entry.SerializeToString(), None if left is None else left - _EXACT)

        key = b.keys.key("data_cache", call.tenant, request.task_record_id, request.key)
        answer = await b.cache.get(key, RUN_TTL, load, strong=call.strong)
        if answer is None:
            raise data_cache.missing(request.key)
        return answer

    async def BatchGetDataCache(self, request: BatchGetDataCacheRequest, call: Call) -> bytes:
        found = await data_cache.LISTING.batch(
            self.backend.database.bulk,
            data_cache.where(call.tenant, request.task_record_id),
            request.keys,
            full=request.view == View.VIEW_FULL,
        )
        if not found:
            await self.run_must_exist(call, request.task_record_id)
        items = [found[key] for key in request.keys if key in found]
        missing = [key for key in request.keys if key not in found]
        answer = BatchGetDataCacheResponse(missing_keys=missing)
        return await list_response(answer, "data_caches", items)

    async def ListDataCache(self, request: ListDataCacheRequest, call: Call) -> bytes:
        items, token, total = await self.page(
            request,
            call,
            data_cache.LISTING,
            data_cache.where(call.tenant, request.task_record_id, request.key_prefix),
            fields=frozenset({"key"}),
            default="key",
            tie_breaker="key",
        )
        if not items and not request.page_token:
            await self.run_must_exist(call, request.task_record_id)
        answer = ListDataCacheResponse(next_page_token=token, total_size=total)
        return await list_response(answer, "data_caches", items)
