"""RFC 7396, with the examples of its appendix that are objects."""

from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Struct
from hypothesis import given
from hypothesis import strategies as st

from vwed_grpc.domain.merge_patch import merge_patch

OBJECTS = st.dictionaries(
    st.sampled_from("abc"),
    st.recursive(
        st.none() | st.integers(0, 2) | st.just("x"),
        lambda inner: (
            st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
        ),
        max_leaves=8,
    ),
)


def merged(target: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    messages = ParseDict(target, Struct()), ParseDict(patch, Struct())
    result = MessageToDict(merge_patch(*messages))
    assert MessageToDict(messages[0]) == target
    assert MessageToDict(messages[1]) == patch
    return result


def rfc_7396(target: Any, patch: Any) -> Any:
    """The RFC's own pseudocode."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = rfc_7396(result.get(name), value)
    return result


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({"x": [1, 2]}, {"x": {"a": "b", "c": None}}, {"x": {"a": "b"}}),
        ({"x": ["a", "b"]}, {"x": ["c", None]}, {"x": ["c", None]}),
    ],
)
def test_the_examples_of_the_rfc(
    target: dict[str, Any], patch: dict[str, Any], result: dict[str, Any]
) -> None:
    assert merged(target, patch) == result


@given(OBJECTS, OBJECTS)
def test_it_does_what_the_pseudocode_of_the_rfc_does(
    target: dict[str, Any], patch: dict[str, Any]
) -> None:
    assert merged(target, patch) == rfc_7396(target, patch)
