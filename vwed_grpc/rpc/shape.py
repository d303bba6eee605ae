"""What no rule in the protos can say, looked up in a request by its descriptor.

- text has no U+0000, which neither `text` nor `jsonb` can hold
- enum numbers are known ones (proto3 lets every number through), whatever the field's rules
- a Timestamp or Duration is one: its nanos and its range
- a Timestamp is cut to microseconds, which is what is stored: neither the same request again nor
  what is read later may differ in what nobody keeps
- a Struct or Value keeps the contract's JSON limits
"""

import json
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from vwed_grpc.domain.errors import Violation
from vwed_grpc.domain.json_value import struct_problems, value_problems
from vwed_grpc.rpc.demands import UNKNOWN_NUMBER

Look = Callable[[Any, str], list[Violation]]
"""What is wrong with a value at a path."""

MAX_ITEMS = 1_000
"""Of a list or map: no rule in the protos allows more."""

_NUL = "must not contain U+0000"
_NANOS = 999_999_999
_YEAR_1, _YEAR_9999 = -62_135_596_800, 253_402_300_799
_TEN_THOUSAND_YEARS = 315_576_000_000


def _cut_timestamp(value: Any, path: str) -> list[Violation]:
    nanos = value.nanos
    if 0 <= nanos <= _NANOS and _YEAR_1 <= value.seconds <= _YEAR_9999:
        if finer := nanos % 1000:
            value.nanos = nanos - finer
        return []
    return [Violation(path, "is not a timestamp: the years are 1 to 9999, nanos 0 to 999999999")]


def _duration_problems(value: Any, path: str) -> list[Violation]:
    seconds, nanos = value.seconds, value.nanos
    if (
        -_NANOS <= nanos <= _NANOS
        and -_TEN_THOUSAND_YEARS <= seconds <= _TEN_THOUSAND_YEARS
        and seconds * nanos >= 0
    ):
        return []
    return [Violation(path, "is not a duration: nanos must be below 1s and of the seconds' sign")]


_WELL_KNOWN: dict[str, Look] = {
    "google.protobuf.Struct": struct_problems,
    "google.protobuf.Value": value_problems,
    "google.protobuf.Timestamp": _cut_timestamp,
    "google.protobuf.Duration": _duration_problems,
}


@dataclass(slots=True)
class Shape:
    """The fields of one message type that are looked at, by kind: reading them is the hot path."""

    texts: list[str] = field(default_factory=list)
    text_lists: list[str] = field(default_factory=list)
    text_maps: list[str] = field(default_factory=list)
    enums: list[tuple[str, AbstractSet[int]]] = field(default_factory=list)
    enum_lists: list[tuple[str, AbstractSet[int]]] = field(default_factory=list)
    well_known: list[tuple[str, Look]] = field(default_factory=list)
    messages: list[tuple[str, "Shape"]] = field(default_factory=list)
    message_lists: list[tuple[str, "Shape"]] = field(default_factory=list)

    @property
    def many(self) -> Iterator[str]:
        """The fields that may hold several values."""
        yield from (*self.text_lists, *self.text_maps)
        yield from (name for name, _ in (*self.enum_lists, *self.message_lists))

    def normalize(self, message: Message, path: str, found: list[Violation], *, nul: bool) -> None:
        """Cuts the times in `message` to microseconds, and appends what is wrong in it.

        Args:
            message: Of the type that this is the shape of.
            path: What comes before the names of its fields: empty, or with a dot at its end.
            found: Is appended to.
            nul: Whether there is a zero byte among the message's bytes at all.
        """
        if nul:
            self._find_in_texts(message, path, found)
        self._find_in_values(message, path, found)
        for name, shape in self.messages:
            if message.HasField(name):
                shape.normalize(getattr(message, name), f"{path}{name}.", found, nul=nul)
        for name, shape in self.message_lists:
            for index, item in enumerate(getattr(message, name)):
                shape.normalize(item, f"{path}{name}[{index}].", found, nul=nul)

    def crowded(self, message: Message, path: str) -> list[Violation]:
        """The lists and maps with more items than any request may have.

        To look at each of 30,000, and to say what is wrong with it, takes three seconds.
        """
        found = [
            Violation(path + name, f"must contain no more than {MAX_ITEMS} item(s)")
            for name in self.many
            if len(getattr(message, name)) > MAX_ITEMS
        ]
        for name, shape in self.messages:
            if message.HasField(name):
                found += shape.crowded(getattr(message, name), f"{path}{name}.")
        return found

    def _find_in_values(self, message: Message, path: str, found: list[Violation]) -> None:
        found += [
            Violation(path + name, UNKNOWN_NUMBER)
            for name, numbers in self.enums
            if getattr(message, name) not in numbers
        ]
        for name, numbers in self.enum_lists:
            found += [
                Violation(f"{path}{name}[{index}]", UNKNOWN_NUMBER)
                for index, number in enumerate(getattr(message, name))
                if number not in numbers
            ]
        for name, look in self.well_known:
            if message.HasField(name):
                found += look(getattr(message, name), path + name)

    def _find_in_texts(self, message: Message, path: str, found: list[Violation]) -> None:
        found += [
            Violation(path + name, _NUL) for name in self.texts if "\0" in getattr(message, name)
        ]
        for name in self.text_lists:
            found += [
                Violation(f"{path}{name}[{index}]", _NUL)
                for index, text in enumerate(getattr(message, name))
                if "\0" in text
            ]
        for name in self.text_maps:
            found += [
                Violation(f"{path}{name}{subscript(key)}", _NUL)
                for key, text in getattr(message, name).items()
                if "\0" in key or "\0" in text
            ]


def subscript(key: str) -> str:
    """A map's key as paths name it: `["zone"]`, with control characters escaped."""
    return f"[{json.dumps(key, ensure_ascii=False)}]"


@cache
def shape_of(descriptor: Descriptor) -> Shape:
    """Raises TypeError for what no request holds today, so that it is not let through unseen."""
    shape = Shape()
    for member in descriptor.fields:
        name, listed = member.name, member.is_repeated
        if member.type == FieldDescriptor.TYPE_STRING:
            (shape.text_lists if listed else shape.texts).append(name)
        elif member.enum_type is not None:
            numbers = member.enum_type.values_by_number.keys()
            (shape.enum_lists if listed else shape.enums).append((name, frozenset(numbers)))
        elif member.message_type is not None:
            inner = member.message_type
            if inner.GetOptions().map_entry:
                if {part.type for part in inner.fields} != {FieldDescriptor.TYPE_STRING}:
                    raise TypeError(f"{member.full_name} maps other things than text to text")
                shape.text_maps.append(name)
            elif inner.full_name in _WELL_KNOWN:
                if listed:
                    raise TypeError(f"{member.full_name} is a list of {inner.full_name}")
                shape.well_known.append((name, _WELL_KNOWN[inner.full_name]))
            else:
                of = shape.message_lists if listed else shape.messages
                of.append((name, shape_of(inner)))
    return shape
