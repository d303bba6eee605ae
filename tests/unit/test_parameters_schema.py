"""A template's schema is JSON Schema 2020-12, refers only to itself and cannot explode."""

import copy
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct

from tests.support.waiting import cheaply
from vwed_grpc.domain.json_convert import to_value
from vwed_grpc.domain.parameters import default_problems
from vwed_grpc.domain.parameters_schema import schema_problems
from vwed_grpc.domain.schema_document import SchemaDocument
from vwed_grpc.domain.schema_validation import compile_problems

LINEAR = "look-around and back-references"
LOCAL = "must name a part of this schema: nothing is fetched"


AT_ONE_VALUE = "applies more than 1,000 subschemas to one value"
MISFIT = "does not fit the schema that it stands in"
STANDARD = "https://json-schema.org/draft/2020-12/schema"
A_TEXT = {"$defs": {"a": {"type": "string"}}}
A_MEMBER: dict[str, Any] = {"properties": {"b": {}}}


NAMED = {"$id": "https://a.test/b", "$defs": {"c": {}}}
CHOICES = {"$defs": {"a": {"items": {"enum": [7, *(n + 0.5 for n in range(100))]}}}}
DEEP = {"$defs": {"a": {"properties": {str(n): {"default": n} for n in range(900)}}}}


def twice(keyword: str, length: int) -> dict[str, Any]:
    """A schema that says twice that the next one applies, and so on."""
    schema: dict[str, Any] = {"$ref": "#/$defs/0"}
    for n in range(length):
        schema.setdefault("$defs", {})[str(n)] = {keyword: [{"$ref": f"#/$defs/{n + 1}"}] * 2}
    schema["$defs"][str(length)] = {"type": "string"}
    return schema


def problems(schema: dict[str, Any]) -> dict[str, str]:
    found = schema_problems(ParseDict(schema, Struct()), "s")
    assert [p.field for p in found] == sorted(p.field for p in found)
    return {problem.field: problem.description for problem in found}


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object", "properties": {"a": {"type": ["string", "null"], "default": None}}},
        {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "https://a.test/b"},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$anchor": "a", "items": {"$ref": "#a"}}}},
        {"properties": {"a~/ b": {}, "b": {"$ref": "#/properties/a~0~1%20b"}}},
        {"allOf": [True, {"$ref": "#/allOf/0"}]},
        {"items": {"$dynamicRef": "#node"}, "$dynamicAnchor": "node"},
        {"$id": "https://a.test/b", "items": {"$ref": "https://a.test/b"}},
        {"$id": "https://a.test/b", "items": {"$ref": "b#/$defs/c"}, "$defs": {"c": {}}},
        {"items": {"$ref": "c#/$defs/d"}, "$defs": {"c": {"$id": "c", "$defs": {"d": {}}}}},
        {
            "items": {"$ref": "/c#d"},
            "$defs": {"c": {"$id": "/c", "$defs": {"e": {"$anchor": "d"}}}},
        },
        {"items": {"$ref": "urn:x:y#d"}, "not": {"$id": "urn:x:y", "not": {"$anchor": "d"}}},
        {"properties": {"a": {"default": 1, "type": "integer"}}},
        {
            "properties": {
                "a": {"default": {}, "properties": {"b": {"default": 1}}, "required": ["b"]}
            }
        },
        {"properties": {"$ref": {"type": "string"}, "$id": {"const": {"$ref": "http://a.test"}}}},
        {"properties": {"a": {"pattern": "^(a+)+$"}, "b": {"pattern": r"^[\p{L}\d]{1,3}$"}}},
        {"$ref": "#/own/place", "own": {"place": {"type": "string"}}},
        {"$ref": "#/own/10000", "own": [None] * 10_000 + [{}]},
        {"$ref": "#/own", "own": {"$ref": "b#/$defs/c"}, **NAMED},
        {"items": {"default": 1, "$ref": "b#/$defs/c"}, **NAMED},
        {"items": {"$ref": "#/$defs/a", "default": [7] * 80}, **CHOICES},
        {"items": {"allOf": [{}] * 999}},
        {"properties": {str(n): {} for n in range(1_999)}},
        {"patternProperties": {f"^{n}$": {} for n in range(100)}},
        {"properties": {"a": {"pattern": "^.{1,200}$"}}},
        {"enum": [{"$ref": "http://a.test"}]},
        {"title": "#/own", "own": {"$ref": "http://a.test"}},
        {"$id": "https://a.test/b#", "items": {"$ref": "b"}},
        {"properties": {"a": {"format": "of our own", "our-keyword": [1]}}},
    ],
)
def test_good_ones(schema: dict[str, Any]) -> None:
    assert problems(schema) == {}


@pytest.mark.parametrize(
    ("schema", "path", "description"),
    [
        ({"type": "text"}, "s.type", "is not valid under any of the schemas"),
        ({"properties": []}, "s.properties", 'is not of type "object"'),
        ({"required": "a"}, "s.required", 'is not of type "array"'),
        ({"properties": {"a": {"minimum": "0"}}}, "s.properties.a.minimum", "is not of type"),
        ({"allOf": [{}, 1]}, "s.allOf[1]", "is not of types"),
        ({"allOf": {}}, "s.allOf", 'is not of type "array"'),
        ({"$defs": {"07": {"type": "text"}}}, "s.$defs.07.type", "is not valid under any"),
        ({"pattern": "^.{1,1000}$"}, "s.pattern", LINEAR),
        ({"properties": {"a": {"pattern": "(?=a)"}}}, "s.properties.a.pattern", LINEAR),
        ({"properties": {"a": {"pattern": r"(a)\1"}}}, "s.properties.a.pattern", LINEAR),
        ({"items": {"pattern": "["}}, "s.items.pattern", LINEAR),
        ({"anyOf": [{"pattern": "((a{99}){99}){99}"}]}, "s.anyOf[0].pattern", LINEAR),
        ({"patternProperties": {"(?<!a)b": {}}}, "s.patternProperties.(?<!a)b", LINEAR),
        ({"$ref": "http://a.test/schema"}, "s.$ref", LOCAL),
        ({"$ref": "file:///etc/passwd"}, "s.$ref", LOCAL),
        ({"$ref": "https://json-schema.org/draft/2020-12/schema"}, "s.$ref", LOCAL),
        ({"$ref": "other.json#/a"}, "s.$ref", LOCAL),
        ({"$defs": {"a": {"not": {"$dynamicRef": "x"}}}}, "s.$defs.a.not.$dynamicRef", LOCAL),
        ({"$ref": "#/$defs/a"}, "s.$ref", "points to nothing"),
        ({"$ref": "#a"}, "s.$ref", "points to nothing"),
        ({"allOf": [{"$ref": "#/allOf/9"}]}, "s.allOf[0].$ref", "points to nothing"),
        ({"allOf": [{"$ref": "#/allOf/" + "9" * 9999}]}, "s.allOf[0].$ref", "points to nothing"),
        ({"$ref": "#/title", "title": "a"}, "s.$ref", "does not point to a schema"),
        ({"$ref": "#/x", "x": {"$ref": "http://a.test"}}, "s.x.$ref", LOCAL),
        ({"$ref": "#/x", "x": {"items": {"type": 1}}}, "s.x.items.type", "is not of types"),
        ({"$id": "x:a", "items": {"$id": "x:a"}}, "s.items.$id", "is the $id of another"),
        (
            {"items": {"$id": "x:a", "$ref": "#/$defs/b"}, "$defs": {"b": {}}},
            "s.items.$ref",
            "to noth",
        ),
        ({"items": {"$id": "http://a.test/b", "$ref": "c"}}, "s.items.$ref", LOCAL),
        ({"$id": STANDARD, "$ref": STANDARD}, "s.$id", "of the standard"),
        ({"$ref": "#"}, "s", "applies itself to the same value again"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"not": {"$ref": "#"}}}}, "s", "applies itself"),
        (twice("anyOf", 15), "s", AT_ONE_VALUE),
        (twice("oneOf", 15), "s", AT_ONE_VALUE),
        (twice("allOf", 40), "s", AT_ONE_VALUE),
        ({"items": {"allOf": [{}] * 1000}}, "s.items", AT_ONE_VALUE),
        ({"properties": {"a": {"type": "string", "default": 1}}}, "s.properties.a.default", MISFIT),
        ({"items": {"default": 1, "type": "string"}}, "s.items.default", MISFIT),
        (
            {"items": {"default": {"A": 1}, "propertyNames": {"pattern": "^[a-z]$"}}},
            "s.items.default",
            MISFIT,
        ),
        (
            {"$id": "https://a.test/s#", "items": {"default": 1, "not": {}}},
            "s.items.default",
            MISFIT,
        ),
        ({"items": {"default": 1, "$ref": "#/$defs/a"}, **A_TEXT}, "s.items.default", MISFIT),
        ({"$defs": {"~/ %": {"default": 1, "not": {}}}}, "s.$defs.~/ %.default", MISFIT),
        (
            {"properties": {"a": {"default": {}, "required": ["b"], **A_MEMBER}}},
            "s.properties.a.default",
            MISFIT,
        ),
        (
            {"properties": {"a": {"default": {}, "$ref": "#"}}},
            "s.properties.a.default",
            "deeper than",
        ),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "s.$schema", "must be https://"),
    ],
)
def test_bad_ones_are_named_by_path(schema: dict[str, Any], path: str, description: str) -> None:
    found = problems(schema)
    assert list(found) == [path]
    assert description in found[path]


def test_all_problems_at_once() -> None:
    properties = {
        "speed": {"type": "number", "minimum": "slow"},
        "target": {"pattern": "(?!a)"},
        "zone": {"$ref": "http://a.test/zone"},
    }
    assert list(problems({"properties": properties, "required": [1]})) == [
        "s.properties.speed.minimum",
        "s.properties.target.pattern",
        "s.properties.zone.$ref",
        "s.required[0]",
    ]
    dangling = [{"$ref": "#a"}, {"$ref": "#/own"}, {"$ref": "#b"}]
    assert list(problems({"allOf": dangling, "own": {"$ref": "http://a.test"}})) == [
        "s.allOf[0].$ref",
        "s.allOf[2].$ref",
        "s.own.$ref",
    ]


@pytest.mark.parametrize(
    ("schema", "description"),
    [
        ({"anyOf": [{}] * 2000}, "has more than 2,000 subschemas"),
        (
            {"patternProperties": {f"^{n}$": {} for n in range(101)}},
            "has more than 100 patterns",
        ),
    ],
)
def test_its_size_is_bounded(schema: dict[str, Any], description: str) -> None:
    assert problems(schema) == {"s": description}


@pytest.mark.parametrize(
    ("definitions", "default", "too_many", "description"),
    [
        (CHOICES, [7] * 80, 2, "is too much to be checked, with those before it"),
        (DEEP, {}, 56, "takes more than 50,000 steps to be completed by the defaults inside"),
    ],
)
def test_defaults_together_are_bounded(
    definitions: dict[str, Any], default: Any, too_many: int, description: str
) -> None:
    one = {"$ref": "#/$defs/a", "default": default}
    properties = {str(n): one for n in range(too_many)}
    [(path, found)] = problems({"properties": properties, **definitions}).items()
    assert (path.rpartition(".")[2], found) == ("default", description)


def test_100_problems_are_named_and_of_a_large_schema_the_first_misfit() -> None:
    assert len(problems({"allOf": [{"$ref": "#a"}] * 150})) == 100
    assert len(problems({"required": list(range(90))})) == 90
    first = {"s.required[0]": 'is not of type "string"'}
    assert problems({"required": list(range(9_000))}) == first


def test_problems_of_one_field_are_in_order() -> None:
    found = schema_problems(ParseDict({"$id": f"{STANDARD}#x"}, Struct()), "s")
    assert [problem.description for problem in found] == [
        'does not match "^[^#]*#?$"',
        "is the name of a schema of the standard",
    ]


def test_a_name_of_digits_is_told_as_it_is_written() -> None:
    [path] = problems({"properties": {"007": {"pattern": "("}}})
    assert path == "s.properties.007.pattern"
    for title in "", "so large that one misfit is named " * 10_000:
        assert [*problems({"title": title, "properties": {"007": 7}})] == ["s.properties.007"]


def test_looking_at_defaults_changes_nothing() -> None:
    inner = {"properties": {"a": {"properties": {"b": {"default": 1}}}}, "default": {"a": {}}}
    schema: dict[str, Any] = {"properties": {"o": inner}}
    taken = SchemaDocument(to_value(schema).struct_value)
    before = copy.deepcopy(taken.root)
    assert [*default_problems(taken)] == []
    assert taken.root == before


def test_nothing_is_fetched_even_by_what_was_overlooked() -> None:
    [problem] = compile_problems({"$ref": "http://127.0.0.1:9/x"}, "s")
    assert "Retrieval is disabled" in problem.description


@pytest.mark.parametrize(
    "schema",
    [
        {"required": list(range(40_000))},
        {"properties": {str(n): {"type": "?"} for n in range(1_999)}},
        {"$ref": "#/$defs/0", "$defs": {str(n): {"$ref": f"#/$defs/{n + 1}"} for n in range(1998)}},
        {"enum": [{"a": n} for n in range(20_000)]},
        {"properties": {str(n): {"type": "string", "default": n} for n in range(900)}},
        {"properties": {str(n): {"$ref": "#/$defs/a", "default": {}} for n in range(900)}, **DEEP},
    ],
)
def test_a_huge_one_is_answered_soon(schema: dict[str, Any]) -> None:
    message = ParseDict(schema, Struct())
    cheaply(lambda: schema_problems(message, "s"), below=1)
