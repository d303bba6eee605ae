"""A JSON Schema as one document: its subschemas, and what its references name."""

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Any, TypeAlias
from urllib.parse import unquote

from google.protobuf.struct_pb2 import Struct

from vwed_grpc.domain.json_convert import Json, from_struct
from vwed_grpc.domain.json_value import MAX_NODES

MAX_SUBSCHEMAS = 2_000

REFERENCES = ("$ref", "$dynamicRef")
"""Where `$id` makes no resource of its own, both find the same."""

Schema: TypeAlias = dict[str, Any]
Steps: TypeAlias = tuple[str | int, ...]

_SCHEMA = frozenset({
    "additionalProperties", "contains", "contentSchema", "else", "if", "items", "not",
    "propertyNames", "then", "unevaluatedItems", "unevaluatedProperties",
})  # fmt: skip
_SCHEMAS_BY_INDEX = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_SCHEMAS_BY_NAME = frozenset({
    "$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties",
})  # fmt: skip


class SchemaDocument:
    """A schema that may be ill-formed: where it is, it just has fewer subschemas."""

    def __init__(self, schema: Struct) -> None:
        self.root: Schema = from_struct(schema)
        self.subschemas = list(islice(self._walk(), MAX_SUBSCHEMAS + 1))
        """Each object among them with its steps from the root; if too many, one too many."""
        self._anchors = {
            anchor: subschema
            for _, subschema in self.subschemas
            for keyword in ("$anchor", "$dynamicAnchor")
            if isinstance(anchor := subschema.get(keyword), str)
        }

    def target(self, reference: str) -> Json:
        """What a local reference (`#…`) names. Raises LookupError if there is nothing."""
        if reference == "#" or reference.startswith("#/"):
            return _at(self.root, _pointer(reference))
        return self._anchors[unquote(reference.removeprefix("#"))]

    def _walk(self) -> Iterator[tuple[Steps, Schema]]:
        """Every subschema once: where a keyword has one, then wherever else a reference points."""
        seen = set()
        found: deque[tuple[Steps, Any]] = deque([((), self.root)])
        while found:
            steps, schema = found.pop()
            if not isinstance(schema, dict) or id(schema) in seen:
                continue
            seen.add(id(schema))
            yield steps, schema
            for keyword, value in schema.items():
                if keyword in REFERENCES and isinstance(value, str) and value.startswith("#/"):
                    try:
                        target = self.target(value)
                    except LookupError:
                        continue
                    found.appendleft((tuple(_pointer(value)), target))
                else:
                    found.extend(((*steps, keyword, *s), sub) for s, sub in _below(keyword, value))


def _below(keyword: str, value: Any) -> Iterator[tuple[Steps, Any]]:
    if keyword in _SCHEMA:
        yield (), value
    elif keyword in _SCHEMAS_BY_INDEX and isinstance(value, list):
        yield from (((index,), item) for index, item in enumerate(value))
    elif keyword in _SCHEMAS_BY_NAME and isinstance(value, dict):
        yield from (((name,), item) for name, item in value.items())


def _pointer(reference: str) -> list[str]:
    """The steps of a JSON pointer in a fragment: `#/a~1b/c%20d`."""
    tokens = unquote(reference.removeprefix("#")).split("/")[1:]
    return [token.replace("~1", "/").replace("~0", "~") for token in tokens]


def _at(json: Json, steps: list[str]) -> Json:
    """Raises LookupError if there is nothing."""
    for step in steps:
        match json:
            case dict():
                json = json[step]
            case list() if step.isdecimal() and len(step) < len(str(MAX_NODES)):
                json = json[int(step)]
            case _:
                raise LookupError(step)
    return json
