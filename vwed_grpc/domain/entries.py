"""What a caller gives to become an entry of a run's data cache."""

from datetime import UTC, datetime, timedelta

from vwed.v1.cache_service_pb2 import (
    BatchSetDataCacheRequest,
    SetDataCacheRequest,
    TouchDataCacheRequest,
)
from vwed.v1.data_cache_pb2 import DataCache, DataCacheType

from vwed_grpc.domain.errors import InvalidArgument, Violation
from vwed_grpc.domain.field_mask import apply_mask

LONGEST = timedelta(days=366)
NOTHING = 0
"""The version of an entry that is absent."""
_IMPOSSIBLE = -1


def entry_of(request: SetDataCacheRequest, now: datetime, path: str = "") -> DataCache:
    """The entry that is asked for, without what the store sets.

    Args:
        request: one set.
        now: the database's time.
        path: what stands before the names of the request's fields, in errors.

    Raises:
        InvalidArgument: it has no value, or does not expire within the next 366 days.
    """
    given = request.data_cache
    which = given.WhichOneof("value")
    if which is None:
        raise InvalidArgument.of(f"{path}data_cache.value", "is required")
    entry = DataCache(task_record_id=given.task_record_id, key=given.key, type=type_of(which))
    apply_mask(entry, given, [which])
    if until := expiration(request, now, path):
        entry.expire_time.FromDatetime(until)
    return entry


def type_of(which: str) -> DataCacheType.ValueType:
    """The type of an entry whose value is the field `which`."""
    return DataCacheType.Value(f"DATA_CACHE_TYPE_{which.upper()}")


def expiration(
    request: SetDataCacheRequest | TouchDataCacheRequest, now: datetime, path: str = ""
) -> datetime | None:
    """When the entry is to expire, None: never.

    Raises InvalidArgument unless within the next 366 days.
    """
    match request.WhichOneof("expiration"):
        case "ttl":
            return now + request.ttl.ToTimedelta()
        case "expire_time":
            at = request.expire_time.ToDatetime(UTC)
            if not now < at <= now + LONGEST:
                raise InvalidArgument.of(f"{path}expire_time", "must be within the next 366 days")
            return at
        case _:
            return None


def end_of(entry: DataCache) -> datetime | None:
    """When the entry expires, None: never."""
    return entry.expire_time.ToDatetime(UTC) if entry.HasField("expire_time") else None


def replaceable(request: SetDataCacheRequest) -> int | None:
    """The version that the set may replace, `NOTHING`: none; None: whatever is there."""
    if request.HasField("if_version"):
        return request.if_version if request.if_version > NOTHING else _IMPOSSIBLE
    return NOTHING if request.if_absent else None


def check_batch(request: BatchSetDataCacheRequest) -> None:
    """Raises InvalidArgument for entries of other runs, without a value, or named before."""
    found: list[Violation] = []
    seen: set[str] = set()
    for n, one in enumerate(request.requests):
        path = f"requests[{n}].data_cache"
        if one.data_cache.task_record_id not in {"", request.task_record_id}:
            found.append(Violation(f"{path}.task_record_id", "is another run's"))
        if one.data_cache.key in seen:
            found.append(Violation(f"{path}.key", "stands in the batch before"))
        if one.data_cache.WhichOneof("value") is None:
            found.append(Violation(f"{path}.value", "is required"))
        seen.add(one.data_cache.key)
    if found:
        raise InvalidArgument(*found)
