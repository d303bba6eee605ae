"""Python's values in protobuf's types, and back."""

import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Struct
from hypothesis import given, settings
from hypothesis import strategies as st
from vwed.v1.data_cache_pb2 import DataCache

from vwed.client import as_dict, as_struct, data_cache, entry_value

EXACT = 2**53
numbers = st.integers(-EXACT, EXACT) | st.floats(allow_nan=False, allow_infinity=False)
json = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=8,
)


@settings(max_examples=50)
@given(st.dictionaries(st.text(max_size=4), json, max_size=4))
def test_an_object_comes_back_as_it_was(content: dict[str, Any]) -> None:
    struct = as_struct(content)
    assert as_dict(struct) == content
    assert struct == ParseDict(content, Struct())
    assert as_dict(Struct.FromString(struct.SerializeToString())) == content


def test_whole_numbers_are_ints_where_a_double_has_all_of_them() -> None:
    found = as_dict(as_struct({"whole": 3.0, "half": 0.5, "most": -EXACT, "huge": 1e300}))
    assert [type(found[name]) for name in ("whole", "half", "most", "huge")] == [
        *(int, float, int, float)
    ]


def test_tuples_are_lists_and_empty_ones_stay() -> None:
    content: dict[str, Any] = {"a": (1, ()), "b": [], "c": {}, "d": None, "e": [{}, [[]]]}
    assert as_dict(as_struct(content)) == {**content, "a": [1, []]}
    assert MessageToDict(as_struct(content)) == {**content, "a": [1, []]}


@pytest.mark.parametrize("number", [EXACT + 1, 10**400, math.nan, math.inf, -math.inf], ids=str)
def test_a_number_that_would_change_is_refused(number: float) -> None:
    with pytest.raises(ValueError, match="number"):
        as_struct({"deep": [{"n": number}]})
    with pytest.raises(ValueError, match="number"):
        data_cache("run", "key", [number])


@pytest.mark.parametrize("value", [b"bytes", {1}, object(), datetime.now(UTC)], ids=type)
def test_what_json_does_not_have_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="JSON"):
        as_struct({"value": value})


def test_keys_are_text() -> None:
    with pytest.raises(TypeError, match="text, not 1"):
        as_struct({"deep": {1: "one"}})


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("text", "string_value"),
        ("", "string_value"),
        (True, "bool_value"),
        (False, "bool_value"),
        (0, "int_value"),
        (2**63 - 1, "int_value"),
        (-(2**63), "int_value"),
        (3.0, "double_value"),
        (math.inf, "double_value"),
        (b"\0\xff", "bytes_value"),
        (datetime(2026, 11, 29, 8, 0, 0, 123456, tzinfo=UTC), "time_value"),
        (None, "json_value"),
        ({}, "json_value"),
        ([], "json_value"),
        ({"a": [1, {"b": None}]}, "json_value"),
    ],
    ids=repr,
)
def test_an_entry_keeps_the_type_of_its_value(value: Any, kind: str) -> None:
    entry = data_cache("run", "key", value)
    assert (entry.task_record_id, entry.key) == ("run", "key")
    assert entry.WhichOneof("value") == kind
    found = entry_value(DataCache.FromString(entry.SerializeToString()))
    assert found == value
    assert type(found) is type(value)


def test_a_time_comes_back_in_utc() -> None:
    east = datetime(2026, 11, 29, 8, tzinfo=timezone(timedelta(hours=8)))
    found = entry_value(data_cache("run", "key", east))
    assert found == east
    assert isinstance(found, datetime)
    assert found.tzinfo is UTC


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(TypeError, match="time zone"):
        data_cache("run", "key", datetime(2026, 11, 29, 8))  # noqa: DTZ001 - as the test wants


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1])
def test_an_int_beyond_64_bits_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match="64 bits"):
        data_cache("run", "key", number)


def test_an_entry_that_came_without_its_value_has_none() -> None:
    with pytest.raises(ValueError, match="VIEW_FULL"):
        entry_value(DataCache(key="key"))
