"""The contract's limits of JSON, and that the cheap look at a message misses none of them."""

from functools import reduce
from itertools import islice
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import NULL_VALUE, Struct, Value
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vwed_grpc.domain import json_value
from vwed_grpc.domain.json_value import struct_problems, value_problems

UNSET = object()
FROM_THE_FUTURE = object()
"""A value whose only field is one that this protobuf does not know."""


def fill(value: Value, content: Any) -> Value:
    match content:
        case None:
            value.null_value = NULL_VALUE
        case bool():
            value.bool_value = content
        case int() | float():
            value.number_value = content
        case str():
            value.string_value = content
        case list():
            value.list_value.SetInParent()
            for item in content:
                fill(value.list_value.values.add(), item)
        case dict():
            value.struct_value.SetInParent()
            for key, item in content.items():
                fill(value.struct_value.fields[key], item)
        case _ if content is FROM_THE_FUTURE:
            value.MergeFromString(b"\x7a\x01x")
    return value


def struct(content: dict[str, Any]) -> Struct:
    return fill(Value(), content).struct_value


def nested(kinds: list[bool], leaf: Any = None) -> Any:
    """As many levels as `kinds`: an object for True, a list for False."""
    return reduce(lambda inner, is_object: {"a": inner} if is_object else [inner], kinds, leaf)


def violations(message: Struct | Value) -> list[tuple[str, str]]:
    check = value_problems if isinstance(message, Value) else struct_problems
    return [(v.field, v.description) for v in check(message, "config")]  # type: ignore[arg-type]  # chosen above


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ({}, []),
        ({"text": 'a "quoted" \\ line\n{ }', "none": None, "empty": {}, "list": []}, []),
        ({"text": "\\000 values {\n  }\nnumber_value: nan\n"}, []),
        ({"a": 1e308, "b": -0.0, "c": 5e-324}, []),
        ({"speed": float("nan")}, [("config.speed", "is not a finite number")]),
        (
            {"blocks": [{}, 1, {"inputs": {"speed": float("-inf")}}]},
            [("config.blocks[2].inputs.speed", "is not a finite number")],
        ),
        ({"a": [["x\0y"]]}, [("config.a[0][0]", "contains U+0000")]),
        ({"a": {"b\0": 1}}, [("config.a.b\\0", "has U+0000 in its key")]),
        ({"k" * 128: UNSET}, [(f"config.{'k' * 128}", "is not JSON: no kind is set")]),
        ({"k" * 129: UNSET}, [(f"config.{'k' * 128}…", "is not JSON: no kind is set")]),
        ({"a": UNSET}, [("config.a", "is not JSON: no kind is set")]),
        ({"a": [1, UNSET]}, [("config.a[1]", "is not JSON: no kind is set")]),
        ({"a": [FROM_THE_FUTURE]}, [("config.a[0]", "is not JSON: no kind is set")]),
        (
            {"b": float("inf"), "a": {"x": UNSET}},
            [
                ("config.a.x", "is not JSON: no kind is set"),
                ("config.b", "is not a finite number"),
            ],
        ),
    ],
)
def test_what_is_not_json_is_named_by_its_path(
    content: dict[str, Any], found: list[tuple[str, str]]
) -> None:
    assert violations(struct(content)) == found


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (1, []),
        ("\0", [("config", "contains U+0000")]),
        (float("nan"), [("config", "is not a finite number")]),
        (UNSET, [("config", "is not JSON: no kind is set")]),
        (FROM_THE_FUTURE, [("config", "is not JSON: no kind is set")]),
        ([UNSET], [("config[0]", "is not JSON: no kind is set")]),
    ],
)
def test_a_value_has_the_limits_of_a_struct(content: Any, found: list[tuple[str, str]]) -> None:
    assert violations(fill(Value(), content)) == found


@pytest.mark.parametrize(
    "double", ["000000000000f07f", "000000000000f0ff", "010000000000f07f", "ffffffffffffffff"]
)
def test_every_bit_pattern_that_is_not_finite_is_found(double: str) -> None:
    assert violations(Value.FromString(b"\x11" + bytes.fromhex(double))) != []


@pytest.mark.parametrize("is_object", [True, False])
def test_30_levels(is_object: bool) -> None:
    assert violations(fill(Value(), nested([is_object] * 30, "leaf"))) == []
    [(path, description)] = violations(fill(Value(), nested([is_object] * 40, float("nan"))))
    assert path == "config" + (".a" if is_object else "[0]") * 30
    assert description == "nests deeper than 30 levels"


def test_a_struct_is_the_first_level() -> None:
    assert violations(struct({"a": nested([False] * 29)})) == []
    assert violations(struct({"a": nested([False] * 30)})) != []


def test_50_000_values() -> None:
    assert violations(struct({"a": [None] * 49_999})) == []
    too_many = violations(struct({"a": [None] * 50_000}))
    assert too_many == [("config", "has more than 50,000 values")]
    assert violations(fill(Value(), [None] * 49_999)) == []
    assert violations(fill(Value(), [None] * 50_000)) == too_many


def test_1_mib() -> None:
    overhead = struct({"a": "x" * 500_000, "bad": "\0"}).ByteSize() - 500_000
    fits = struct({"a": "x" * (2**20 - overhead), "bad": "\0"})
    assert fits.ByteSize() == 2**20
    assert violations(fits) == [("config.bad", "contains U+0000")]
    fits.fields["a"].string_value += "x"
    assert violations(fits) == [("config", "is larger than 1,048,576 bytes")]


def test_what_a_hostile_request_can_make_it_say_is_bounded() -> None:
    [*found] = violations(struct({"k" * 500_000: [UNSET] * 20_000}))
    assert len(found) == json_value.MAX_PROBLEMS
    assert all(len(path) < 200 for path, _ in found)


def test_levels_that_protobuf_could_not_parse_are_refused_without_recursion() -> None:
    assert len(violations(fill(Value(), nested([True, False] * 200)))) == 1


# Strings that look like the text format, and the values that it must not hide.
TEXTS = st.sampled_from(["\0", "\\", "\\000", "\n", '"', "nan", "values {\n}", "é\u2028", "\x11"])
SCALARS = (
    st.sampled_from([UNSET, FROM_THE_FUTURE, None, True, float("nan"), float("inf")])
    | st.floats()
    | st.lists(TEXTS, max_size=3).map("".join)
    | st.text(max_size=4)
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS | st.text(max_size=3), inner),
    max_leaves=12,
)
CLEAN = st.recursive(
    st.floats(allow_nan=False, allow_infinity=False) | st.none() | st.text("ab{}\\ \n:"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab{}"), inner),
    max_leaves=12,
)


def walked(message: Struct | Value) -> list[tuple[str, str]]:
    walk = islice(json_value._walk(message, "config"), json_value.MAX_PROBLEMS)
    return [(v.field, v.description) for v in walk]


@settings(max_examples=200, deadline=None)
@given(JSON | CLEAN, st.lists(st.booleans(), max_size=3) | st.lists(st.booleans(), min_size=27))
def test_the_cheap_look_misses_nothing_that_the_walk_finds(
    content: Any, around: list[bool]
) -> None:
    value = fill(Value(), nested(around[:34], content))
    assert violations(value) == walked(value)
    if value.HasField("struct_value"):
        assert violations(value.struct_value) == walked(value.struct_value)


@settings(deadline=None)
@given(CLEAN)
@example([[2199023255551.0, None]])  # its bytes look like a number that is not finite
@example(["x" * 10_000])
def test_the_cheap_look_suspects_little(content: Any) -> None:
    value = fill(Value(), content)
    assert not json_value._suspicious(str(value), value.SerializeToString())


def test_what_json_format_makes_is_json() -> None:
    content = {"blocks": [{"id": "a", "inputs": {"speed": 1.5, "on": True, "x": None}}]}
    assert violations(ParseDict(content, Struct())) == []
