"""Parameters are completed and checked by the template's schema, in bounded time."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.waiting import cheaply
from vwed_grpc.domain.json_convert import to_value
from vwed_grpc.domain.parameters import complete_parameters
from vwed_grpc.domain.parameters_schema import schema_problems

TOO_MUCH = ["p: is too much to be checked against the schema"]


def check(schema: dict[str, Any], given: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    messages = to_value(schema).struct_value, to_value(given).struct_value
    assert schema_problems(messages[0], "s") == []
    complete, problems = complete_parameters(*messages, "p")
    assert messages[1] == to_value(given).struct_value
    return complete, [f"{problem.field}: {problem.description}" for problem in problems]


SPEED = {"type": "number", "minimum": 0, "maximum": 2, "default": 1.5}
CLOSED = {"additionalProperties": False}
MEMBER = {"properties": {"b": SPEED}}
ONE: dict[str, Any] = {"$defs": {"m": {"$dynamicAnchor": "m", **MEMBER}}}
TWO: dict[str, Any] = {
    "$defs": {**ONE["$defs"], "o": {"$id": "https://a.test/o", "$dynamicAnchor": "m"}}
}


@pytest.mark.parametrize(
    ("schema", "given", "complete"),
    [
        ({}, {"anything": [1]}, {"anything": [1]}),
        ({"properties": {"a": SPEED, "b": {}, "c": SPEED}}, {}, {"a": 1.5, "c": 1.5}),
        ({"properties": {"a": SPEED}, "required": ["a"]}, {}, {"a": 1.5}),
        ({"properties": {"a": SPEED}}, {"a": 2}, {"a": 2}),
        ({"properties": {"a": {"default": None}}}, {}, {"a": None}),
        ({"properties": {"a": {"default": 1}}}, {"a": None}, {"a": None}),
        ({"properties": {"a": {"$ref": "#/$defs/s"}}, "$defs": {"s": SPEED}}, {}, {"a": 1.5}),
        (
            {"properties": {"a": {"$ref": "#/$defs/s", "default": 1}}, "$defs": {"s": SPEED}},
            {},
            {"a": 1},
        ),
        ({"properties": {"a": {"properties": {"b": SPEED}}}}, {"a": {}}, {"a": {"b": 1.5}}),
        ({"properties": {"a": {"properties": {"b": SPEED}}}}, {}, {}),
        ({"properties": {"a": {"default": {}, "properties": {"b": SPEED}}}}, {}, {"a": {"b": 1.5}}),
        (
            {"properties": {"a": {"default": [{}, {"b": 1}], "items": MEMBER}}},
            {},
            {"a": [{"b": 1.5}, {"b": 1}]},
        ),
        ({"properties": {"a": {"items": MEMBER}}}, {"a": [{}, 1]}, {"a": [{"b": 1.5}, 1]}),
        (
            {"properties": {"a": {"prefixItems": [MEMBER], "items": {}}}},
            {"a": [{}, {}]},
            {"a": [{"b": 1.5}, {}]},
        ),
        ({"properties": {"a": {"allOf": [MEMBER]}}}, {"a": {}}, {"a": {"b": 1.5}}),
        ({"allOf": [{"$ref": "#/$defs/m"}], "$defs": {"m": MEMBER}}, {}, {"b": 1.5}),
        ({"additionalProperties": MEMBER}, {"x": {}}, {"x": {"b": 1.5}}),
        (
            {"patternProperties": {"^x": MEMBER}, "additionalProperties": True},
            {"x": {}, "y": {}},
            {"x": {"b": 1.5}, "y": {}},
        ),
        ({"anyOf": [MEMBER, True]}, {}, {}),
        (
            {
                "properties": {
                    "a": {"$ref": "#/$defs/d", "properties": {"x": MEMBER}},
                    "c": {"$ref": "#/$defs/d"},
                },
                "$defs": {"d": {"default": {"x": {}}}},
            },
            {},
            {"a": {"x": {"b": 1.5}}, "c": {"x": {}}},
        ),
        ({"properties": {"a": {"$dynamicRef": "#m"}}, **ONE}, {"a": {}}, {"a": {"b": 1.5}}),
        # Which of two it is depends on the way that led there.
        ({"properties": {"a": {"$dynamicRef": "#m"}}, **TWO}, {"a": {}}, {"a": {}}),
        ({"properties": {"a": {"$ref": "#m"}}, **TWO}, {"a": {}}, {"a": {"b": 1.5}}),
        ({"properties": {"a": {"contains": MEMBER}}}, {"a": [{}]}, {"a": [{}]}),
        ({"properties": {"a": {"type": "integer"}}}, {"a": 3.0}, {"a": 3}),
        ({"properties": {"a": {"pattern": "^(a+)+$"}}}, {"a": "a" * 50_000}, {"a": "a" * 50_000}),
    ],
)
def test_defaults_stand_in(
    schema: dict[str, Any], given: dict[str, Any], complete: dict[str, Any]
) -> None:
    assert check(schema, given) == (complete, [])


@pytest.mark.parametrize(
    ("schema", "given", "problem"),
    [
        ({"properties": {"a": SPEED}}, {"a": "1"}, 'p.a: is not of type "number"'),
        ({"properties": {"a": SPEED}}, {"a": 3}, "p.a: is greater than the maximum of 2"),
        ({"properties": {"a": {"default": 1}}, "maxProperties": 0}, {}, "p: has more than 0"),
        ({"required": ["a"]}, {}, "p.a: is required"),
        ({"properties": {"a": {"required": ["b"]}}}, {"a": {}}, "p.a.b: is required"),
        ({"properties": {"a": {"items": SPEED}}}, {"a": [1, -1]}, "p.a[1]: is less than"),
        ({"properties": {"07": {"items": SPEED}}}, {"07": [-1], "1": 2}, "p.07[0]: is less than"),
        ({"properties": {"00": {"items": SPEED}}}, {"00": [-1]}, "p.00[0]: is less than"),
        ({"properties": {"010": {"items": SPEED}}}, {"010": [-1]}, "p.010[0]: is less than"),
        ({"properties": {"+7": {"items": SPEED}}}, {"+7": [-1]}, "p.+7[0]: is less than"),
        # To the library both names are 7: then it may be the other, or none at all.
        ({"properties": {"07": MEMBER}}, {"07": {"b": -1}, "7": {}}, "p.7.b: is less than"),
        ({"properties": {"07": CLOSED}}, {"07": {"b": 1}, "7": 1}, "p: does not fit the schema"),
        ({"additionalProperties": False}, {"a": 1}, "p.a: is not allowed here"),
        ({"properties": {"a": CLOSED}}, {"a": {"b": 1}}, "p.a.b: is not allowed here"),
        ({"properties": {"a": False}}, {"a": 1}, "p.a: is not allowed here"),
        ({"properties": {"b": {}}, "additionalProperties": False}, {"a": 1}, "p.a: is not"),
        ({"unevaluatedProperties": False}, {"a": 1}, "p.a: is not allowed here"),
        ({"properties": {"a": {"pattern": "^(a+)+$"}}}, {"a": "a" * 50_000 + "!"}, "p.a: does not"),
        ({"properties": {"a": {"format": "date"}}}, {"a": "soon"}, 'p.a: is not a "date"'),
        ({"properties": {"a": {"enum": ["x", 1]}}}, {"a": "y"}, 'p.a: is not one of "x" or 1'),
    ],
)
def test_a_misfit_is_named_by_path(
    schema: dict[str, Any], given: dict[str, Any], problem: str
) -> None:
    [found] = check(schema, given)[1]
    assert found.startswith(problem)


TREE = {
    "$id": "https://a.test/tree.json",
    "$dynamicAnchor": "node",
    "type": "object",
    "properties": {"children": {"items": {"$dynamicRef": "#node"}}, "data": {"type": "string"}},
}
PARTS: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    (
        {
            "$id": "https://a.test/root",
            "properties": {"a": {"$ref": "https://a.test/root"}},
            **CLOSED,
        },
        {"a": {"a": {}}},
        {"a": {"b": 1}},
    ),
    (
        {"properties": {"a": {"$ref": "part"}}, "$defs": {"x": {"$id": "part", "type": "string"}}},
        {"a": "x"},
        {"a": 1},
    ),
    (
        {
            "$id": "https://a.test/dir/root",
            "properties": {"a": {"$ref": "part#/$defs/b"}, "c": {"$ref": "/other#d"}},
            "$defs": {
                "x": {"$id": "part", "$defs": {"b": {"$ref": "#/$defs/c"}, "c": {"type": "null"}}},
                "y": {"$id": "/other", "$defs": {"z": {"$anchor": "d", "type": "integer"}}},
            },
        },
        {"a": None, "c": 1},
        {"a": None, "c": "1"},
    ),
    (
        {
            "properties": {"a": {"$ref": "urn:example:a#/$defs/b"}},
            "$defs": {"x": {"$id": "urn:example:a", "$defs": {"b": {"type": "string"}}}},
        },
        {"a": "x"},
        {"a": 1},
    ),
    (
        {
            "properties": {"t": {"$ref": "tree.json"}},
            "$id": "https://a.test/",
            "$defs": {"t": TREE},
        },
        {"t": {"children": [{"data": "x", "dota": 1}]}},
        {"t": {"children": [{"data": 1}]}},
    ),
    (
        {
            "$id": "https://a.test/strict-tree.json",
            "$dynamicAnchor": "node",
            "$ref": "tree.json",
            "unevaluatedProperties": False,
            "$defs": {"t": TREE},
        },
        {"children": [{"data": "x", "children": [{}]}]},
        {"children": [{"dota": "x"}]},
    ),
    (
        {"properties": {"$id": {"type": "string"}, "a": {"const": {"$id": "x", "$ref": "y"}}}},
        {"$id": "x"},
        {"a": {"$id": "x"}},
    ),
]


@pytest.mark.parametrize(("schema", "good", "bad"), PARTS)
def test_references_go_by_the_names_of_parts(
    schema: dict[str, Any], good: dict[str, Any], bad: dict[str, Any]
) -> None:
    assert check(schema, good) == (good, [])
    assert len(check(schema, bad)[1]) >= 1


def test_defaults_are_found_behind_names_of_parts() -> None:
    part = {"$id": "part", "properties": {"b": {"$ref": "#/$defs/c"}}, "$defs": {"c": SPEED}}
    schema = {"properties": {"a": {"$ref": "part"}}, "$defs": {"x": part}}
    assert check(schema, {"a": {}}) == ({"a": {"b": 1.5}}, [])


def test_all_misfits_at_once() -> None:
    schema = {
        "properties": {"a": SPEED, "b": {"type": "string", "enum": ["x"], "minimum": 2}, "c": {}},
        "required": ["c"],
        "additionalProperties": False,
    }
    assert check(schema, {"a": 9, "b": 1, "x": 0, "y": 0})[1] == [
        "p.a: is greater than the maximum of 2",
        "p.b: is less than the minimum of 2",
        'p.b: is not of type "string"',
        'p.b: is not one of "x"',
        "p.c: is required",
        "p.x: is not allowed here",
        "p.y: is not allowed here",
    ]


LISTS = {"a": [[n] for n in range(9_000)]}


def chain(keyword: str, length: int, **last: Any) -> dict[str, Any]:
    """A schema that says twice that the next one applies, and so on."""
    defs: dict[str, Any] = {
        str(n): {keyword: [{"$ref": f"#/$defs/{n + 1}"}] * 2} for n in range(length)
    }
    return {"$ref": "#/$defs/0", "$defs": {**defs, str(length): last}}


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"a": value}
    return value


def unevaluated(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"properties": {"a": {}}}
    for _ in range(levels):
        schema = {"allOf": [schema], "unevaluatedProperties": False}
    return schema


CHOICES = {"properties": {"a": {"items": {"enum": [7, *(n + 0.5 for n in range(100))]}}}}
TWICE = {"properties": {"a": {"$ref": "#"}}}
MANY = {"properties": {"a": {"items": {"type": "string"}}, "b": {"type": "string"}}}


@pytest.mark.parametrize(
    ("schema", "given", "refused"),
    [
        (chain("allOf", 7), {}, False),
        ({"allOf": [TWICE, TWICE]}, nested(8), False),
        ({"allOf": [TWICE, TWICE]}, nested(28), True),
        (unevaluated(4), {"a": 1}, False),
        ({"items": {"enum": [[n] for n in range(9_000)]}, **MANY}, {"a": ["x"] * 9_000}, False),
        ({"properties": {"a": {"items": {"enum": [[n] for n in range(9_000)]}}}}, LISTS, True),
        ({"allOf": [{"type": "object"}] * 900}, {"a": "x" * 500_000}, True),
        ({"properties": {"a": {"pattern": "[ab]*a[ab]{999}c"}}}, {"a": "ab" * 250_000}, True),
        ({"properties": {"a": {"pattern": "^[A-Z]{2}-[0-9]+$"}}}, {"a": "AB-" + "1" * 9999}, False),
        ({"properties": {"a": {"items": {"uniqueItems": True}}}}, {"a": [[1, 2]] * 9_000}, False),
        (CHOICES, {"a": [7, 8.5] * 20}, False),
        (CHOICES, {"a": [7] * 900}, True),
        (CHOICES, {"a": [1.5e-300] * 20}, True),
        ({"properties": {"a": {"items": {"minimum": -1.5e300}}}}, {"a": [0.5] * 500}, False),
        ({"properties": {"a": {"items": {"minimum": -1.5e300}}}}, {"a": [0.5] * 900}, True),
    ],
)
def test_work_is_bounded_before_it_is_done(
    schema: dict[str, Any], given: dict[str, Any], refused: bool
) -> None:
    def work() -> None:
        assert check(schema, given)[1] == (TOO_MUCH if refused else [])

    cheaply(work, below=1)


@pytest.mark.parametrize("keyword", ["anyOf", "oneOf"])
def test_alternatives_that_all_fail_are_told_soon(keyword: str) -> None:
    stations = {"oneOf": [{"const": str(n)} for n in range(900)]}
    schema = {"properties": {"a": stations, "b": {"items": stations}}}
    none_fits = "p.a: is not valid under any of the schemas listed in the 'oneOf' keyword"

    def work() -> None:
        assert len(check(chain(keyword, 7, type="string"), {})[1]) == 1
        assert check(schema, {"a": 1})[1] == [none_fits]
        assert check(schema, {"b": [1] * 100})[1] == ["p.b: does not fit the schema"]

    cheaply(work, below=0.5)


def test_of_very_many_misfits_the_parameters_are_named() -> None:
    wrong = {"a": [1] * 49_000, "b": 1, "c": 1}
    misfits = ["p.a: does not fit the schema", "p.b: does not fit the schema"]

    def work() -> None:
        assert check(MANY, wrong)[1] == misfits
        assert len(check(MANY, {"a": [1] * 900})[1]) == 100
        unnamed = {"additionalProperties": {"items": {"type": "string"}}}
        assert check(unnamed, {"a": [1] * 3_000})[1] == ["p: does not fit the schema"]

    cheaply(work, below=1)


def test_defaults_of_a_recursive_schema_are_bounded() -> None:
    properties: dict[str, Any] = {str(n): {"default": n} for n in range(1_000)}
    schema = {"properties": {**properties, "a": {"$ref": "#"}, "b": {"$ref": "#"}}}
    given: dict[str, Any] = {}
    for _ in range(7):
        given = {"a": given, "b": given}
    problem = "takes more than 50,000 steps to be completed by its defaults"
    assert check(schema, given)[1] == [f"p: {problem}"]


NAMES = st.sampled_from(["a", "b"])
SCHEMAS = st.recursive(
    st.booleans() | st.sampled_from([{"type": "object"}, {"type": "integer"}, {"default": 1}]),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "properties": st.dictionaries(NAMES, inner),
            "patternProperties": st.dictionaries(st.just("^a"), inner),
            "additionalProperties": inner,
            "unevaluatedProperties": inner,
            "propertyNames": inner,
            "dependentSchemas": st.dictionaries(NAMES, inner),
            "allOf": st.lists(inner, min_size=1, max_size=3),
            "oneOf": st.lists(inner, min_size=1, max_size=3),
            "prefixItems": st.lists(inner, min_size=1, max_size=3),
            "items": inner,
            "contains": inner,
            "if": inner,
            "then": inner,
            "not": inner,
            "required": st.lists(NAMES, unique=True),
            "$ref": st.sampled_from(["#", "#/$defs/a"]),
        },
    ),
    max_leaves=12,
)
VALUES = st.recursive(
    st.integers(0, 2) | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner),
    max_leaves=8,
)


@settings(max_examples=100, deadline=1000)
@given(st.dictionaries(NAMES, SCHEMAS), SCHEMAS, st.dictionaries(NAMES, VALUES))
def test_any_schema_is_counted_and_checked(
    properties: dict[str, Any], definition: Any, given: dict[str, Any]
) -> None:
    schema: dict[str, Any] = {"properties": properties, "$defs": {"a": definition}}
    message = to_value(schema).struct_value
    assert schema_problems(message, "s") == schema_problems(message, "s")
    if not schema_problems(message, "s"):
        assert check(schema, given) == check(schema, given)
