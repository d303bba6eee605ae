"""What a caller gives to become an entry of a run's data cache."""

from datetime import UTC, datetime, timedelta

from vwed.v1.cache_service_pb2 import SetDataCacheRequest, TouchDataCacheRequest
from vwed.v1.data_cache_pb2 import DataCache, DataCacheType

from vwed_grpc.domain.errors import InvalidArgument
from vwed_grpc.domain.field_mask import apply_mask

LONGEST = timedelta(days=366)
NOTHING = 0
"""The version of an absent entry."""
_NO_VERSION = -1


def new_entry(given: DataCache, path: str = "data_cache") -> DataCache:
    """What may be given of an entry: run, key and value, with the type that the value has.

    Raises InvalidArgument without a value.
    """
    which = given.WhichOneof("value")
    if which is None:
        raise InvalidArgument.of(f"{path}.value", "is required")
    entry = DataCache(
        task_record_id=given.task_record_id,
        key=given.key,
        type=DataCacheType.Value(f"DATA_CACHE_TYPE_{which.upper()}"),
    )
    apply_mask(entry, given, [which])
    return entry


def expiration(
    request: SetDataCacheRequest | TouchDataCacheRequest, now: datetime, path: str = ""
) -> datetime | None:
    """When the entry is to expire, None: never.

    Raises InvalidArgument unless within the 366 days after `now`, the database's time.
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


def replaceable(request: SetDataCacheRequest) -> int | None:
    """The version that the request may replace, `NOTHING`: none; None: whatever is there."""
    if request.HasField("if_version"):
        return request.if_version if request.if_version > NOTHING else _NO_VERSION
    return NOTHING if request.if_absent else None
