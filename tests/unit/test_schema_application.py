"""Which subschemas apply to a value, and how much work that is said to be."""

from typing import Any

import pytest

from vwed_grpc.domain.json_convert import to_value
from vwed_grpc.domain.schema_application import MAX_WORK, Application, EndlessError, states
from vwed_grpc.domain.schema_document import SchemaDocument

A = {"$ref": "#/$defs/a"}
NAMES_A = {"propertyNames": A}
OF_ANY_KIND = {
    "allOf": [{}],
    "anyOf": [{}],
    "oneOf": [{}],
    "not": {},
    "if": {},
    "then": {},
    "else": {},
    "dependentSchemas": {"x": {}},
}

ONE_OF_TWO = {
    "$dynamicRef": "#a",
    "$defs": {
        "a": {"$dynamicAnchor": "a"},
        "b": {"$id": "b", "$dynamicAnchor": "a", "allOf": [{}]},
    },
}


def document(schema: dict[str, Any]) -> SchemaDocument:
    return SchemaDocument(to_value(schema).struct_value)


def titles(schema: dict[str, Any]) -> list[str]:
    taken = document(schema)
    return [each.get("title", "") for each in Application(taken).always(taken.root)]


@pytest.mark.parametrize(
    ("schema", "found"),
    [
        ({"title": "root", "anyOf": [{"title": "a"}], "if": {"title": "b"}}, ["root"]),
        (
            {
                "title": "root",
                **A,
                "allOf": [{"title": "b"}, True, {"title": "c", "allOf": [{"title": "d"}]}],
                "$defs": {"a": {"title": "a", "allOf": [{"title": "e"}]}},
            },
            ["root", "a", "e", "b", "c", "d"],
        ),
        ({"title": "root", "allOf": [A, A], "$defs": {"a": {"title": "a"}}}, ["root", "", "a", ""]),
    ],
)
def test_what_always_applies_comes_from_the_outside_in_and_once(
    schema: dict[str, Any], found: list[str]
) -> None:
    assert titles(schema) == found


@pytest.mark.parametrize(
    ("schema", "count"),
    [
        ({}, 1),
        (OF_ANY_KIND, 9),
        ({"allOf": [True, {}]}, 3),
        ({"allOf": [A, A], "$defs": {"a": {"allOf": [{}]}}}, 7),
        (ONE_OF_TWO, 4),
        ({"unevaluatedProperties": False, "allOf": [{}]}, 6),
        ({"unevaluatedItems": False}, 3),
        ({"properties": {"x": {}}, "items": {}}, 1),
    ],
)
def test_as_many_apply_as_ways_lead_to(schema: dict[str, Any], count: int) -> None:
    taken = document(schema)
    application = Application(taken)
    assert application.count(taken.root) == count
    assert application.count(taken.root) == count


def test_a_schema_that_applies_itself_has_no_count() -> None:
    taken = document({"allOf": [{"not": {"$ref": "#"}}]})
    with pytest.raises(EndlessError):
        Application(taken).count(taken.root)


@pytest.mark.parametrize(
    ("schema", "value", "work"),
    [
        ({}, 1, 1),
        ({}, {}, 1),
        # Keywords that apply subschemas to the same value.
        (OF_ANY_KIND, 1, 9),
        ({"allOf": [A, A], "$defs": {"a": {}}}, 1, 5),
        ({"unevaluatedProperties": False}, 1, 3),
        ({"unevaluatedItems": False, "allOf": [{}]}, 1, 6),
        # Those that apply them to members and items: one for each look, and what is found.
        ({"items": {}}, [1, 2], 5),
        ({"items": {}}, {"x": 1}, 2),
        ({"items": {"items": {}}}, [[1], []], 7),
        ({"contains": {}}, [1], 3),
        ({"items": {}, "contains": {}, "unevaluatedItems": {}}, [1], 15),
        ({"prefixItems": [{}, {"allOf": [{}]}]}, [1, 2, 3], 7),
        ({"properties": {"x": {}}, "additionalProperties": {"not": {}}}, {"x": 1, "y": 2}, 6),
        ({"properties": {"x": {}}, "patternProperties": {"y": {}}}, {"x": 1}, 4),
        ({"unevaluatedProperties": {}}, {"x": 1}, 9),
        ({"propertyNames": {"not": {}}}, {"x": 1, "y": 2}, 7),
        ({"allOf": [A, A], "$defs": {"a": {"items": {}}}}, [1], 9),
        ({"allOf": [A, A], "$defs": {"a": {"propertyNames": {}}}}, {"x": 1}, 9),
        ({"allOf": [NAMES_A, NAMES_A], "$defs": {"a": {}}}, {"x": 1}, 9),
        ({"items": {"allOf": [A, A]}, "$defs": {"a": {}}}, [1], 7),
        (ONE_OF_TWO, 1, 4),
        # Names.
        ({"required": ["x", "y"]}, 1, 3),
        ({"dependentRequired": {"x": ["y", "z"], "y": []}}, 1, 5),
        # What may be copied into an error, by its bytes.
        ({}, "x" * 255, 1),
        ({}, "x" * 256, 2),
        ({}, {"x" * 192: {"x": "x" * 47}}, 2),
        ({"required": ["x"]}, ["x" * 504], 6),
        # Choices that are named.
        ({"enum": ["x" * 15]}, 1, 1),
        ({"enum": ["x" * 16]}, 1, 2),
        ({"const": "x" * 56}, 1, 3),
        ({"enum": [[], {}]}, 1, 18),
        ({"const": {}}, 1, 9),
        ({"const": 7}, "x", 3),
        # Texts, by the states of what they are matched with.
        ({"pattern": "abc"}, "x" * 16, 9),
        ({"pattern": "abc"}, ["x" * 16], 1),
        ({"patternProperties": {"abc": {}}}, {"x" * 10: 1, "y" * 6: 1}, 13),
        ({"propertyNames": {"pattern": "abc"}}, {"x" * 16: 1}, 11),
        ({"format": "date"}, 1, 21),
        ({"format": "date"}, "x" * 16, 37),
        # Numbers, each with each: those that are no small integers by their digits.
        ({"minimum": 7}, 9, 1),
        ({"minimum": 7}, 0.25, 20),
        ({"minimum": 0.5}, 9, 18),
        ({"minimum": 0.5}, 0.25, 37),
        ({"minimum": 0.5}, True, 1),
        ({"exclusiveMaximum": 2.0**53}, 2.0**53 - 1, 32),
        ({"maximum": 1e-300}, 1, 317),
        ({"enum": [0.5, {"x": [0.5, 7]}]}, [1, [2, 0.25]], 1 + 1 + 8 + 3 * 34 + 3 * 19),
        ({"uniqueItems": True}, [1] * 9, 41),
        ({"uniqueItems": True}, [0.5] * 32, 2 + 132 + 34),
        ({"uniqueItems": False}, [1] * 9, 1),
    ],
)
def test_work(schema: dict[str, Any], value: Any, work: int) -> None:
    taken = document(schema)
    application = Application(taken)
    assert application.work(taken.root, value) == work
    assert application.work(taken.root, value) == work


def test_work_beyond_the_bound_is_not_counted() -> None:
    taken = document({"items": {"enum": ["x" * 32_000]}})
    assert Application(taken).work(taken.root, [1] * 1_000) == MAX_WORK + 1


@pytest.mark.parametrize(
    ("pattern", "count"),
    [
        ("abc", 4),
        ("a{9}", 10),
        ("(ab){3,5}c", 12),
        ("((a{3}){3}){3}", 28),
        ("a{2}{3}b{1}", 8),
        ("(ab){2}{2}", 9),
        ("a{0}", 2),
        ("{3}", 1),
        ("a)", 3),
        (r"\{3\}[(a]", 5),
    ],
)
def test_states_of_a_pattern(pattern: str, count: int) -> None:
    assert states(pattern) == count
