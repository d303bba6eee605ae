"""Every field of a request, by its descriptor, and the extreme values of every kind of field."""

import json
import math
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.struct_pb2 import ListValue, NullValue, Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp
from vwed.v1.record_service_pb2 import WatchTaskRecordsRequest

from vwed_grpc.domain import paging

_EVERY = 16

Place = tuple[FieldDescriptor, ...]
"""The fields on the way from a request to one of its fields, however deep."""

MAX = 1.7976931348623157e308
SUBNORMAL = 5e-324
TOO_LONG = "x" * 70_000
UUID = "00000000-0000-4000-8000-000000000000"
TEXTS = [
    "", "\0", "a\0b", "\0" * 36, " ", "\n", "\x7f", "%", "_", "'", "\\", "*", "a", "3.1", "9" * 40,
    "name", "config.a", "name desc", "end_time desc, id", UUID,
    "Europe/Berlin", "Mars/Base", "../x",
    "\ufffd", "\uffff", "\U0010ffff", "\U0001f69a" * 64, "e\u0301" * 64, "\u202e\u200d", "é" * 64,
    "x" * 128, "x" * 129, "x" * 513, TOO_LONG,
]  # fmt: skip
DOUBLES = [
    0.0, -0.0, 0.5, 1.0, 1 + 2**-52, -SUBNORMAL, SUBNORMAL, 2.0**53, 2.0**63, MAX, -MAX,
    math.inf, -math.inf, math.nan,
]  # fmt: skip
INT32S = [0, 1, -1, 2**31 - 1, -(2**31)]
INT64S = [*INT32S, 2**31, 2**53 + 1, 2**63 - 1, -(2**63)]
YEAR_1, YEAR_10000 = -62_135_596_800, 253_402_300_800
"""The first second of a Timestamp, and the one after its last."""
YEAR_1900, YEAR_9999 = -2_208_988_800, 253_370_764_800
TIMES = [
    *(
        Timestamp(seconds=edge + seconds, nanos=nanos)
        for edge in (YEAR_1, YEAR_1900, YEAR_9999, YEAR_10000, 0)
        for seconds, nanos in ((-1, 0), (-1, 999_999_000), (-1, 999_999_999), (0, 0), (0, 1))
    ),
    *(Timestamp(seconds=seconds) for seconds in (2**63 - 1, -(2**63), 2**53)),
    *(Timestamp(nanos=nanos) for nanos in (-1, 10**9, 2**31 - 1, -(2**31))),
]
MAX_DURATION = 315_576_000_000
DURATIONS = [
    *(Duration(seconds=sign * MAX_DURATION) for sign in (1, -1)),
    *(Duration(seconds=seconds) for seconds in (0, 1, -1, 86_400, 86_401, 366 * 86_400)),
    *(Duration(seconds=seconds) for seconds in (MAX_DURATION + 1, 2**63 - 1, -(2**63))),
    *(Duration(nanos=nanos) for nanos in (1, -1, 999, 999_999_999, 10**9, 2**31 - 1, -(2**31))),
    *(Duration(seconds=sign, nanos=-sign) for sign in (1, -1)),
]


def _json(value: Any, depth: int = 0) -> Value:
    made = Value()
    match value:
        case dict():
            made.struct_value.SetInParent()
            for key, inner in value.items():
                made.struct_value.fields[key].CopyFrom(_json(inner))
        case list():
            made.list_value.values.extend(_json(inner) for inner in value)
        case str():
            made.string_value = value
        case bool():
            made.bool_value = value
        case None:
            made.null_value = NullValue.NULL_VALUE
        case _:
            made.number_value = value
    for _ in range(depth):
        made = Value(list_value=ListValue(values=[made]))
    return made


VALUES = [
    Value(),  # none of its kinds
    Value(null_value=99),  # type: ignore[arg-type]  # no such number, and proto3 lets it through
    Value(null_value=-1),  # type: ignore[arg-type]  # the same
    *map(_json, DOUBLES),
    *map(_json, TEXTS),
    *(_json(1, depth) for depth in (26, 27, 28, 29, 30, 31)),
    _json([None] * 50_001),
]
NAMED = [_json(value).struct_value for value in (
    {}, {"": 1}, {"\0": 1}, {"\U0010ffff": {"e\u0301": 1}}, {TOO_LONG: 1}, {"a": TOO_LONG * 15},
    # What a configuration, a template's schema and its parameters say with numbers and texts.
    *({"inputs": [{"name": name, "type": kind, "default": default}]}
      for name, (kind, default) in product(
          ("to", "", "\U0001f69a", "__proto__"),
          (("integer", MAX), ("integer", 2.0**63), ("number", SUBNORMAL), ("string", "\uffff")),
      )),
    {"blocks": [{"id": "\U0001f69a" * 128, "type": "\ufffd"}]},
    {"blocks": [{"id": 1e308, "type": None, "children": MAX, "inputs": -0.0}]},
    {"blocks": -1}, {"inputs": 1e308}, {"speed": "${params.a}", "text": "at ${params.a}"},
    *({"properties": {"a": {word: number}}}
      for word, number in product(
          ("multipleOf", "minimum", "maximum", "minLength", "maxItems", "const", "default"),
          (SUBNORMAL, MAX, -1, -0.0, 2.0**63, 0),
      )),
    *({"properties": {"a": {word: text}}}
      for word, text in product(
          ("pattern", "format", "type", "$ref", "$id", "$schema", "$anchor", "$dynamicRef"),
          ("(", "(?<=a)b", "\\p{L}{1000}", "#/properties/a", "\U0001f69a", "a{99999}", "//["),
      )),
    *({"a": number} for number in (MAX, SUBNORMAL, -0.0, 2.0**63)),
)]  # fmt: skip
MASKS = [FieldMask(paths=[path]) for path in TEXTS] + [FieldMask(paths=["*", "name"])]

OF_MESSAGES: dict[str, list[Any]] = {
    Timestamp.DESCRIPTOR.full_name: TIMES,
    Duration.DESCRIPTOR.full_name: DURATIONS,
    FieldMask.DESCRIPTOR.full_name: MASKS,
    Value.DESCRIPTOR.full_name: VALUES,
    Struct.DESCRIPTOR.full_name: [
        *NAMED,
        *(Struct(fields={"a": value}) for value in VALUES),
    ],
}
"""What stands for a message as a whole; into all others one goes, down to their fields."""
OF_SCALARS: dict[int, list[Any]] = {
    FieldDescriptor.TYPE_STRING: TEXTS,
    FieldDescriptor.TYPE_BYTES: [b"", b"\0", b"\xff\xfe", b"x" * 70_000],
    FieldDescriptor.TYPE_BOOL: [False, True],
    FieldDescriptor.TYPE_DOUBLE: DOUBLES,
    FieldDescriptor.TYPE_INT32: INT32S,
    FieldDescriptor.TYPE_INT64: INT64S,
}
"""A field of any other scalar type is a KeyError: then its extremes belong here."""


def places(message: Descriptor, above: tuple[Descriptor, ...] = ()) -> Iterator[Place]:
    """Every field of a message type and of the messages in it; into itself a type goes once."""
    for field in message.fields:
        yield (field,)
        inner = field.message_type
        if inner and inner.GetOptions().map_entry:
            continue
        if inner and inner.full_name not in OF_MESSAGES and above.count(inner) < 2:
            yield from ((field, *rest) for rest in places(inner, (*above, inner)))


def extremes(place: Place) -> list[Any]:
    """What to put there. For a map: its entry's key and value; for a message: its like, empty."""
    field = place[-1]
    inner = field.message_type
    if inner and inner.GetOptions().map_entry:
        key, value = inner.fields_by_name["key"], inner.fields_by_name["value"]
        keys = [(text, _a_good(value)) for text in extremes((key,))]
        return keys + [("a", given) for given in extremes((value,))]
    if inner:
        return OF_MESSAGES.get(inner.full_name) or [GetMessageClass(inner)()]
    if field.enum_type:
        return [*(value.number for value in field.enum_type.values), 99, -1, 2**31 - 1, -(2**31)]
    return OF_SCALARS[field.type]


def some_extremes(place: Place, turn: int) -> list[Any]:
    """All numbers and times; of texts and JSON, which are many, other ones at every turn."""
    values = extremes(place)
    inner = place[-1].message_type
    if inner and inner.full_name in {Timestamp.DESCRIPTOR.full_name, Duration.DESCRIPTOR.full_name}:
        return values
    return values if len(values) < len(TEXTS) else values[turn % _EVERY :: _EVERY]


def _a_good(field: FieldDescriptor) -> Any:
    return _json(1) if field.message_type else "a"


def put(request: Message, place: Place, value: Any) -> None:
    """Sets the field; what is on the way to it and not there is made."""
    at: Any = request
    for field in place[:-1]:
        inside = getattr(at, field.name)
        if field.is_repeated:
            at = inside[-1] if inside else inside.add()
        else:
            inside.SetInParent()
            at = inside
    field = place[-1]
    there = getattr(at, field.name)
    if field.message_type and field.message_type.GetOptions().map_entry:
        key, given = value
        if isinstance(given, Message):
            there[key].CopyFrom(given)
        else:
            there[key] = given
    elif field.is_repeated and field.message_type:
        there.add().MergeFrom(value)
    elif field.is_repeated:
        there[:] = [*there[1:], value]
    elif field.message_type:
        there.SetInParent()
        there.CopyFrom(value)
    else:
        setattr(at, field.name, value)


def forged_tokens(tenant: str, request: Message, token: str) -> Iterator[str]:
    """Tokens like one that was given out for this request, with extreme values in its columns.

    The seal has no secret: anybody can make them.
    """
    raw = urlsafe_b64decode(token + "==")
    seal, columns = _seal_of(tenant, request), json.loads(raw[_SEAL_BYTES:])
    assert paging.encode(seal, [*map(_position, columns)]) == token
    for place, column in enumerate(columns):
        for value in _POSITIONS[list if column is None else type(column)]:
            forged = [*map(_position, columns)]
            forged[place] = value
            yield paging.encode(seal, forged)


_SEAL_BYTES = 12
_TIMES = [
    datetime.min.replace(tzinfo=UTC),
    datetime.max.replace(tzinfo=UTC),
    datetime(1, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
]
_POSITIONS: dict[type, list[paging.Position]] = {
    str: ["", "\U0010ffff", "e\u0301", TOO_LONG[:2_000], None],
    int: [*INT64S, None],
    list: [*_TIMES, None],
}


def _position(column: Any) -> paging.Position:
    if isinstance(column, list):
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=column[0])
    position: paging.Position = column
    return position


def _seal_of(tenant: str, request: Message) -> bytes:
    if isinstance(request, WatchTaskRecordsRequest):
        arguments = WatchTaskRecordsRequest(
            filter=request.filter, include_blocks=request.include_blocks
        )
        return paging.fingerprint_of(tenant, "WatchTaskRecords", arguments)
    return paging.request_fingerprint(tenant, request.DESCRIPTOR.name, request)
