"""What protobuf's own types hold, as Python's."""

from collections.abc import Mapping
from datetime import UTC, datetime
from math import isfinite
from typing import Any

from google.protobuf.struct_pb2 import Struct, Value
from vwed.v1.data_cache_pb2 import DataCache

Json = dict[str, Any] | list[Any] | str | float | bool | None
EntryValue = Json | int | bytes | datetime
_INT64 = range(-(2**63), 2**63)
_EXACT = 2.0**53
"""Up to here a double has every whole number, and beyond it an int would promise too much."""


def as_dict(struct: Struct) -> dict[str, Any]:
    """The object that a Struct holds. Whole numbers are ints, though a Struct has doubles alone."""
    return {key: _json(value) for key, value in struct.fields.items()}


def as_struct(members: Mapping[str, Any]) -> Struct:
    """The Struct that holds an object of None, bool, int, float, str, lists, tuples and mappings.

    Raises:
        TypeError: something else is in it.
        ValueError: a number is in it that a double cannot hold as it is.
    """
    struct = Struct()
    _fill(struct, members)
    return struct


def entry_value(entry: DataCache) -> EntryValue:
    """What a data cache entry holds, with its type; a time is in UTC.

    Raises:
        ValueError: it has no value, as in VIEW_BASIC.
    """
    match entry.WhichOneof("value"):
        case None:
            raise ValueError(f"the entry {entry.key!r} came without its value: ask for VIEW_FULL")
        case "json_value":
            json: Json = _json(entry.json_value)
            return json
        case "time_value":
            return entry.time_value.ToDatetime(UTC)
        case kind:
            value: EntryValue = getattr(entry, kind)
            return value


def data_cache(run_id: str, key: str, value: EntryValue | Mapping[str, Any]) -> DataCache:
    """The entry that holds `value` with its type; None, lists and mappings are kept as JSON.

    Raises:
        TypeError: the value is of another kind, or a time has no zone.
        ValueError: an int has more than 64 bits, or JSON has a number that a double cannot hold.
    """
    entry = DataCache(task_record_id=run_id, key=key)
    match value:
        case str():
            entry.string_value = value
        case bool():
            entry.bool_value = value
        case int():
            if value not in _INT64:
                raise ValueError(f"{value} has more than 64 bits")
            entry.int_value = value
        case float():
            entry.double_value = value
        case bytes():
            entry.bytes_value = value
        case datetime():
            if value.tzinfo is None:
                raise TypeError(f"{value} is in no time zone")
            entry.time_value.FromDatetime(value)
        case _:
            _set(entry.json_value, value)
    return entry


def _json(value: Value) -> Any:
    match value.WhichOneof("kind"):
        case "struct_value":
            return as_dict(value.struct_value)
        case "list_value":
            return [_json(item) for item in value.list_value.values]
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() and abs(number) <= _EXACT else number
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
    return None


def _fill(struct: Struct, members: Mapping[str, Any]) -> None:
    for key, value in members.items():
        if not isinstance(key, str):
            raise TypeError(f"the keys of a JSON object are text, not {key!r}")
        _set(struct.fields[key], value)


def _set(into: Value, value: Any) -> None:
    match value:
        case None:
            into.null_value = 0  # type: ignore[assignment]  # the only one there is
        case bool():
            into.bool_value = value
        case str():
            into.string_value = value
        case int() | float():
            into.number_value = _double(value)
        case Mapping():
            into.struct_value.SetInParent()  # an empty one is one, too
            _fill(into.struct_value, value)
        case list() | tuple():
            into.list_value.SetInParent()
            for item in value:
                _set(into.list_value.values.add(), item)
        case _:
            raise TypeError(f"{value!r} is nothing that JSON has")


def _double(number: float) -> float:
    try:
        double = float(number)
    except OverflowError:
        raise ValueError(f"{number} is larger than JSON's numbers are here") from None
    if not isfinite(double) or double != number:
        raise ValueError(f"{number} would not stay what it is as JSON's number here, a double")
    return double
