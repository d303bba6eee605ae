from collections.abc import Iterator
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import ListValue, Value
from google.protobuf.timestamp_pb2 import Timestamp
from vwed.v1 import cache_service_pb2 as c
from vwed.v1.data_cache_pb2 import DataCache

from tests.support.bad_requests.request import INVALID, MIB, RUN, UNMET, BadRequest

YEARS_300 = 300 * 366 * 86_400


def entries() -> Iterator[BadRequest]:
    def put(field: str, code: str = INVALID, **given: Any) -> BadRequest:
        entry = DataCache(
            task_record_id=given.pop("task_record_id", RUN), key=given.pop("key", "new")
        )
        options = {k: given.pop(k) for k in [*given] if not k.endswith("_value")}
        entry.MergeFrom(DataCache(**given or {"int_value": 1}))
        request = c.SetDataCacheRequest(data_cache=entry, **options)
        return BadRequest("SetDataCache", request, code, (field,) if field else ())

    for key in ("", "x" * 257, "\0"):
        yield put("data_cache.key", key=key)
    for run in ("", "a b"):
        yield put("data_cache.task_record_id", task_record_id=run)
    yield put("data_cache.string_value", string_value="x" * (MIB + 1))
    yield put("data_cache.string_value", string_value="é" * (MIB // 2 + 1))
    yield put("data_cache.string_value", string_value="\0")
    yield put("data_cache.bytes_value", bytes_value=bytes(MIB + 1))
    yield put("data_cache.json_value", json_value=Value(string_value="x" * MIB))
    yield put("data_cache.json_value", json_value=Value(number_value=float("nan")))
    yield put("data_cache.json_value", json_value=Value())
    yield put(
        "data_cache.json_value[0]",
        json_value=Value(list_value=ListValue(values=[Value(string_value="\0")])),
    )
    yield put("data_cache.time_value", time_value=Timestamp(nanos=-1))
    for ttl in (
        Duration(),
        Duration(seconds=-1),
        Duration(nanos=-1),
        Duration(seconds=YEARS_300),
        Duration(seconds=366 * 86_400, nanos=1),
        Duration(seconds=1, nanos=-1),
    ):
        yield put("ttl", ttl=ttl)
    for expire_time in (
        Timestamp(),
        Timestamp(seconds=1_500_000_000),
        Timestamp(seconds=1_800_000_000 + YEARS_300),
        Timestamp(seconds=-62_135_596_801),
        Timestamp(seconds=1_800_000_000, nanos=10**9),
    ):
        yield put("expire_time", expire_time=expire_time)
    yield put("", UNMET, key="there", if_absent=True)
    yield put("", UNMET, key="there", if_version=0)
    yield put("", UNMET, key="new", if_version=1)
    yield BadRequest(
        "SetDataCache",
        c.SetDataCacheRequest(data_cache=DataCache(task_record_id=RUN, key="new")),
        INVALID,
        ("data_cache.value",),
    )
    yield BadRequest("SetDataCache", c.SetDataCacheRequest(), INVALID, ("data_cache",))
    for key in ("", "x" * 257, "\0"):
        get = c.GetDataCacheRequest(task_record_id=RUN, key=key)
        yield BadRequest("GetDataCache", get, INVALID, ("key",))
    yield BadRequest(
        "DeleteDataCache",
        c.DeleteDataCacheRequest(task_record_id=RUN, key="there", if_version=0),
        UNMET,
    )
    yield BadRequest(
        "ListDataCache",
        c.ListDataCacheRequest(task_record_id=RUN, key_prefix="x" * 257),
        INVALID,
        ("key_prefix",),
    )
