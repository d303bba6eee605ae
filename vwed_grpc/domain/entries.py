"""What a caller gives to become an entry of a run's data cache."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from vwed.v1.cache_service_pb2 import (
    BatchSetDataCacheRequest,
    SetDataCacheRequest,
    TouchDataCacheRequest,
)
from vwed.v1.data_cache_pb2 import DataCache, DataCacheType

from vwed_grpc.domain.errors import InvalidArgument, Violation

LONGEST = timedelta(days=366)
NOTHING = 0
"""The version of an entry that is absent."""
_IMPOSSIBLE = -1
_IN_TIME = "must be within the next 366 days"


@dataclass(slots=True)
class Put:
    """An entry that is to be written, without what the store sets."""

    entry: DataCache
    ttl: timedelta | None = None
    """How long after its update_time it expires; None: when the entry itself says, or never."""
    replaceable: int | None = None
    """The version that it may replace, `NOTHING`: none; None: whatever is there."""
    path: str = ""
    """What stands before the names of the request's fields, in errors."""

    def too_late(self) -> InvalidArgument:
        """What it is refused with if its time has come before it could be written."""
        return InvalidArgument.of(f"{self.path}expire_time", _IN_TIME)


def put_of(request: SetDataCacheRequest, now: datetime, path: str = "") -> Put:
    """What one set asks for.

    Args:
        request: one set; its entry is what becomes the entry, for to copy a large value takes long.
        now: the database's time.
        path: what stands before the names of the request's fields, in errors.

    Raises:
        InvalidArgument: it has no value, or does not expire within the next 366 days.
    """
    entry = request.data_cache
    which = entry.WhichOneof("value")
    if which is None:
        raise InvalidArgument.of(f"{path}data_cache.value", "is required")
    entry.ClearField("id")
    entry.ClearField("expire_time")
    entry.ClearField("version")
    entry.ClearField("create_time")
    entry.ClearField("update_time")
    entry.type = type_of(which)
    if until := expire_time(request, now, path):
        entry.expire_time.FromDatetime(until)
    return Put(entry, ttl(request, path), replaceable(request), path)


def type_of(which: str) -> DataCacheType.ValueType:
    """The type of an entry whose value is the field `which`."""
    return DataCacheType.Value(f"DATA_CACHE_TYPE_{which.upper()}")


def expire_time(
    request: SetDataCacheRequest | TouchDataCacheRequest, now: datetime, path: str = ""
) -> datetime | None:
    """When the entry is to expire, if the request says when.

    Raises InvalidArgument unless within the next 366 days.
    """
    if request.WhichOneof("expiration") != "expire_time":
        return None
    at = request.expire_time.ToDatetime(UTC)
    if not now < at <= now + LONGEST:
        raise InvalidArgument.of(f"{path}expire_time", _IN_TIME)
    return at


def ttl(request: SetDataCacheRequest | TouchDataCacheRequest, path: str = "") -> timedelta | None:
    """How long the entry is to live from its update_time on, if the request says how long.

    Raises InvalidArgument for less than the microsecond that times are cut to.
    """
    if request.WhichOneof("expiration") != "ttl":
        return None
    lifetime = request.ttl.ToTimedelta()
    if not lifetime:
        raise InvalidArgument.of(f"{path}ttl", "must be at least 1 microsecond")
    return lifetime


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
