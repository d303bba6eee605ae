"""Counting: exact in 64 bits, in doubles as long as they are finite."""

from math import isfinite

from vwed.v1.cache_service_pb2 import IncrementDataCacheRequest
from vwed.v1.data_cache_pb2 import DataCache

from vwed_grpc.domain.entries import type_of
from vwed_grpc.domain.errors import FailedPrecondition, InvalidArgument

_LEAST, _GREATEST = -(2**63), 2**63 - 1


def check_delta(request: IncrementDataCacheRequest) -> None:
    """Raises InvalidArgument without a delta, or if only the start is a double."""
    delta = request.WhichOneof("delta")
    if delta is None:
        raise InvalidArgument.of("int_delta", "or double_delta is required")
    if delta == "int_delta" and request.HasField("double_initial"):
        raise InvalidArgument.of("double_initial", "goes with double_delta alone")


def incremented(present: DataCache | None, request: IncrementDataCacheRequest) -> DataCache:
    """The entry as it is after the increment, without what the store sets.

    Raises FailedPrecondition: WRONG_TYPE, or OVERFLOW beyond 64 bits or the largest double.
    """
    field = "int_value" if request.HasField("int_delta") else "double_value"
    if present is None:
        # Unset, it is 0 of either kind.
        start = getattr(request, request.WhichOneof("start") or "initial")
    elif present.WhichOneof("value") == field:
        start = getattr(present, field)
    else:
        raise FailedPrecondition(
            "WRONG_TYPE",
            f"the entry holds {present.WhichOneof('value')}, the increment is for {field}",
            metadata={"key": request.key},
        )
    if field == "int_value":
        total = start + request.int_delta
        fits = _LEAST <= total <= _GREATEST
    else:
        total = start + request.double_delta
        fits = isfinite(total)
    if not fits:
        raise FailedPrecondition(
            "OVERFLOW", f"the {field} would overflow", metadata={"key": request.key}
        )
    entry = DataCache(
        task_record_id=request.task_record_id,
        key=request.key,
        type=type_of(field),
        **{field: total},
    )
    if present is not None and present.HasField("expire_time"):
        entry.expire_time.CopyFrom(present.expire_time)
    return entry
