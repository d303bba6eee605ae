"""What holds for a field of any request, wherever it stands: found by the descriptors."""

import math
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.struct_pb2 import Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp
from vwed.v1 import cache_service_pb2, record_service_pb2, task_def_service_pb2

from tests.support.extremes import Place, places, put
from vwed_grpc.rpc.validation import checker

METHODS = [
    method
    for file in (task_def_service_pb2, record_service_pb2, cache_service_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]


class Spot(NamedTuple):
    """A field of a request."""

    request: type[Message]
    at: Place

    def __repr__(self) -> str:
        return f"{self.request.DESCRIPTOR.name}.{self.path}"

    @property
    def field(self) -> FieldDescriptor:
        return self.at[-1]

    @property
    def kind(self) -> str:
        """The name of the message type that it holds; empty for a scalar."""
        return self.field.message_type.full_name if self.field.message_type else ""

    @property
    def is_map(self) -> bool:
        return bool(self.field.message_type and self.field.message_type.GetOptions().map_entry)

    @property
    def in_filter(self) -> bool:
        return self.inside.endswith("Filter")

    @property
    def inside(self) -> str:
        """The name of the message type that has it."""
        of = self.field.containing_type
        return of.name if of else ""

    @property
    def is_checked_later(self) -> bool:
        """Of an update what it would make is checked, of an import each item by itself."""
        return self.request.DESCRIPTOR.name.startswith(("Update", "Import"))

    @property
    def path(self) -> str:
        """As callers are told it; of the first item of a list."""
        names = [f"{f.name}[0]" if f.is_repeated else f.name for f in self.at]
        return ".".join([*names[:-1], self.field.name if self.is_map else names[-1]])

    def with_value(self, value: Any) -> Message:
        request = self.request()
        put(request, self.at, value)
        return request

    def is_named(self, value: Any) -> bool:
        """Whether the spot, or what is in it, is among the bad fields if the value stands there."""
        return any(field.startswith(self.path) for field in bad_fields(self.with_value(value)))


def bad_fields(request: Message) -> set[str]:
    problem = checker(type(request))(request.SerializeToString()).problem
    return {violation.field for violation in problem.violations} if problem else set()


SPOTS = [
    Spot(GetMessageClass(method.input_type), at)
    for method in METHODS
    for at in places(method.input_type)
]


def spots(keep: Callable[[Spot], bool]) -> Iterator[Spot]:
    kept = [spot for spot in SPOTS if keep(spot)]
    assert kept
    yield from kept


def refused_wrongly(of: Iterable[Spot], good: Iterable[Any], bad: Iterable[Any]) -> list[Any]:
    """The spots that refuse what is good, or take what is bad."""
    good, bad = list(good), list(bad)
    return [
        (spot, repr(value)[:40])
        for spot in of
        for value, named in [*((value, False) for value in good), *((value, True) for value in bad)]
        if spot.is_named(value) != named
    ]


def test_no_text_has_a_zero_character() -> None:
    texts = spots(lambda spot: spot.field.type == FieldDescriptor.TYPE_STRING)
    assert not refused_wrongly(texts, [], ["a\0b"])


def test_no_enum_has_an_unknown_number() -> None:
    enums = spots(lambda spot: spot.field.enum_type is not None)
    assert not refused_wrongly(enums, [], [99, -1])


def deep(levels: int) -> Value:
    value = Value(number_value=1)
    for _ in range(levels):
        outer = Value()
        outer.list_value.values.add().CopyFrom(value)
        value = outer
    return value


def test_json_keeps_its_limits() -> None:
    """Some of them: `test_json_value` has all that is checked of a Struct and of a Value."""
    numbers = [Value(number_value=number) for number in (1e308, math.nan, -math.inf)]
    for kind, levels in ((Value, 30), (Struct, 29)):  # an object is the first level itself
        good, *bad = [
            Struct(fields={"a": value}) if kind is Struct else value
            for value in (deep(levels), deep(levels + 1), *numbers)
        ]
        of = spots(lambda spot, name=kind.DESCRIPTOR.full_name: spot.kind == name)  # type: ignore[misc]  # mypy knows no type of a default
        assert not refused_wrongly(of, [good, bad.pop(1)], bad)


def test_a_range_takes_any_timestamp() -> None:
    ends = spots(lambda spot: spot.inside == "TimeRange")
    first = Timestamp(seconds=-62_135_596_800)
    last = Timestamp(seconds=253_402_300_799, nanos=999_999_999)
    assert not refused_wrongly(ends, [first, Timestamp(), last], [])


def test_a_filter_has_at_most_1000_values() -> None:
    for spot in spots(lambda spot: spot.in_filter and spot.field.is_repeated):
        request: Any = spot.with_value(("k0", "v") if spot.is_map else _a_value(spot))
        inside = request
        for field in spot.at[:-1]:
            inside = getattr(inside, field.name)
        found = {}
        for count in (64 if spot.is_map else 1_000, 1_001):  # nothing has more labels
            values = getattr(inside, spot.field.name)
            if spot.is_map:
                values.update({f"k{n}": "v" for n in range(count)})
            else:
                values[:] = [_a_value(spot)] * count
            found[count] = spot.path.removesuffix("[0]") in bad_fields(request)
        assert [*found.values()] == [False, True], (spot, found)


def _a_value(spot: Spot) -> Any:
    return "x" if spot.field.type == FieldDescriptor.TYPE_STRING else 1


OUTPUT_ONLY = re.compile(
    r"(requests\[0\]\.)?(block_records?(\[0\])?\.(task_record_)?id|data_cache\.id)"
)


def is_id(spot: Spot) -> bool:
    return bool(re.fullmatch("ids?|task_record_id", spot.field.name)) and not (
        spot.in_filter or spot.is_checked_later or OUTPUT_ONLY.fullmatch(spot.path)
    )


def test_ids_have_their_form() -> None:
    good = ["7", "x" * 128, "wms:move.1_a-b"]
    bad = ["-x", ".x", "a b", "a/b", "é", "a\n", "x" * 129]
    assert not refused_wrongly(spots(is_id), good, bad)


def test_texts_have_their_lengths() -> None:
    for name, longest, too_long in (
        ("name", "箱" * 200, "箱" * 201),
        ("description", "é" * 8_192, "é" * 8_193),
        ("error_code", "箱" * 64, "箱" * 65),
        ("message", "箱" * 512, "箱" * 513),
    ):
        of = spots(
            lambda spot, name=name: (  # type: ignore[misc]  # mypy knows no type of a default
                spot.field.name == name
                and not spot.is_checked_later
                # Output only, and a name that nothing has.
                and spot.inside not in {"TaskRecord", "SignalTaskRecordRequest"}
            )
        )
        assert not refused_wrongly(of, [longest], [too_long])
    error_messages = spots(lambda spot: spot.field.name == "error_message")
    assert not refused_wrongly(error_messages, ["x" * 3_000_000], [])


def test_labels_have_their_limits() -> None:
    longest = "0" + "_" * 62
    good = [(longest, "箱" * 256), ("a", ""), ("9.-_", "v")]
    bad = [(longest + "_", "v"), ("Zone", "v"), ("_a", "v"), ("", "v"), ("a", "箱" * 257)]
    for spot in spots(
        lambda s: s.field.name == "labels" and not s.in_filter and not s.is_checked_later
    ):
        for label in good:
            assert not [f for f in bad_fields(spot.with_value(label)) if "labels" in f], spot
        for label in bad:
            assert f'{spot.path}["{label[0]}"]' in bad_fields(spot.with_value(label)), spot
        for count, refused in ((64, False), (65, True)):
            request: Any = spot.with_value(("k0", ""))
            inside = request
            for field in spot.at[:-1]:
                inside = getattr(inside, field.name)
            inside.labels.update({f"k{n}": "" for n in range(count)})
            assert (spot.path in bad_fields(request)) == refused, spot
