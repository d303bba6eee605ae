from collections.abc import Mapping, Sequence
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Value
from vwed.v1.cache_service_pb2 import GetDataCacheRequest, SetDataCacheRequest
from vwed.v1.data_cache_pb2 import DataCache
from vwed.v1.task_record_pb2 import TaskRecord

from vwed.client import Client, persist
from vwed_grpc.demo.failures import BlockFailed
from vwed_grpc.demo.references import Lookup
from vwed_grpc.demo.walk import Visit

_LIFE = Duration(seconds=3600)


class RunValues:
    """What the blocks of a run can refer to: its input, its data cache, the loop's item."""

    def __init__(self, client: Client, run: TaskRecord) -> None:
        self._client = client
        self._run_id = run.id
        self._input = MessageToDict(run.input)

    def lookup(self, visit: Visit) -> Lookup:
        """How a block's references are looked up; unknown ones raise BlockFailed."""

        async def look_up(root: str, path: Sequence[str]) -> Any:
            match root, path:
                case "input", _:
                    value: Any = self._input
                case "item", _:
                    value = visit.item
                case "cache", [key, *path]:
                    value = await self._get(key)
                case _:
                    raise _missing(root, path)
            for name in path:
                if not isinstance(value, Mapping) or name not in value:
                    raise _missing(root, path)
                value = value[name]
            return value

        return look_up

    async def save(self, key: str, value: Any) -> None:
        """Leave a value for later blocks, for an hour, with its type."""
        entry = DataCache(task_record_id=self._run_id, key=key)
        match value:
            case str():
                entry.string_value = value
            case bool():
                entry.bool_value = value
            case int():
                entry.int_value = value
            case float():
                entry.double_value = value
            case _:
                entry.json_value.CopyFrom(ParseDict(value, Value()))
        await persist(
            self._client.cache.SetDataCache, SetDataCacheRequest(data_cache=entry, ttl=_LIFE)
        )

    async def _get(self, key: str) -> Any:
        request = GetDataCacheRequest(task_record_id=self._run_id, key=key)
        try:
            entry = await persist(self._client.cache.GetDataCache, request)
        except grpc.aio.AioRpcError as exc:
            if exc.code() is not grpc.StatusCode.NOT_FOUND:
                raise
            raise _missing("cache", [key]) from exc
        if entry.HasField("json_value"):
            return MessageToDict(entry.json_value)
        return getattr(entry, entry.WhichOneof("value") or "string_value")


def _missing(root: str, path: Sequence[str]) -> BlockFailed:
    return BlockFailed("MISSING_VALUE", f"{'.'.join([root, *path])} has no value")
