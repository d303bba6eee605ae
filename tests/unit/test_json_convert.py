"""JSON as messages and as Python values."""

from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Struct, Value
from hypothesis import given
from hypothesis import strategies as st

from vwed_grpc.domain.json_convert import from_struct, from_value, to_value

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False).map(lambda number: number + 0.0)  # no -0
    | st.text(max_size=9),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=20,
)


@given(JSON)
def test_there_and_back(content: Any) -> None:
    value = to_value(content)
    assert MessageToDict(value) == content
    assert from_value(value) == content
    assert to_value(from_value(value)) == value


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (1.0, "1"),
        (-3.0, "-3"),
        (2.0**53, "9007199254740992"),
        (1e16, "1e+16"),
        (1e300, "1e+300"),
        (0.1, "0.1"),
    ],
)
def test_a_number_without_a_fraction_is_an_integer(number: float, shown: str) -> None:
    converted = from_value(Value(number_value=number))
    assert (converted, repr(converted)) == (number, shown)


def test_keys_are_in_order() -> None:
    assert list(from_struct(ParseDict({"b": 1, "a": {}, "é": 2, "B": 3}, Struct()))) == [
        "B",
        "a",
        "b",
        "é",
    ]
