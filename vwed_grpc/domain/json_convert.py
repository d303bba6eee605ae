"""JSON between protobuf's messages and the Python values that JSON libraries work on.

Messages are within the limits of `json_value`: 30 levels are no recursion to fear.
"""

from typing import TypeAlias

from google.protobuf.struct_pb2 import NULL_VALUE, Struct, Value

Json: TypeAlias = "dict[str, Json] | list[Json] | str | float | bool | None"

_EXACT = 1e16
"""Below it a double without a fraction is shown as an integer, above by its exponent: `1e+16`."""


def from_struct(struct: Struct) -> dict[str, Json]:
    """An object, its keys in order of code points: protobuf's maps have no order of their own."""
    fields = struct.fields
    return {key: from_value(fields[key]) for key in sorted(fields)}


def from_value(value: Value) -> Json:
    """Any JSON value; a number without a fraction becomes an `int`, which is equal; -0 is 0."""
    match value.WhichOneof("kind"):
        case "string_value":
            return value.string_value
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() and abs(number) < _EXACT else number
        case "bool_value":
            return value.bool_value
        case "struct_value":
            return from_struct(value.struct_value)
        case "list_value":
            return [from_value(item) for item in value.list_value.values]
        case _:
            return None


def to_value(json: Json) -> Value:
    """The message of a value; integers below 2^53 stay exact, as doubles do."""
    value = Value()
    _fill(value, json)
    return value


def _fill(value: Value, json: Json) -> None:
    match json:
        case str():
            value.string_value = json
        case bool():
            value.bool_value = json
        case int() | float():
            value.number_value = json
        case dict():
            value.struct_value.SetInParent()
            for key, item in json.items():
                _fill(value.struct_value.fields[key], item)
        case list():
            value.list_value.SetInParent()
            for item in json:
                _fill(value.list_value.values.add(), item)
        case None:
            value.null_value = NULL_VALUE
