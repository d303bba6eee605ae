"""A JSON Schema as one document: its subschemas, and what its references name."""

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import unquote, urljoin

from google.protobuf.struct_pb2 import Struct

from vwed_grpc.domain.json_convert import Json, from_struct
from vwed_grpc.domain.json_value import MAX_NODES

MAX_SUBSCHEMAS = 2_000

REFERENCES = ("$ref", "$dynamicRef")

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


class NotHereError(LookupError):
    """A reference names another document."""


class _Target(NamedTuple):
    steps: Steps
    schema: Any
    base: str


class SchemaDocument:
    """A schema that may be ill-formed: where it is, it just has fewer subschemas.

    Each `$id` begins a resource: it names the schema that it stands in, is resolved against the
    `$id` around it, and references and anchors inside are the resource's own.
    """

    def __init__(self, schema: Struct) -> None:
        self.root: Schema = from_struct(schema)
        self.repeated_ids: list[Steps] = []
        """Where an `$id` stands that another subschema has already."""
        self._bases: dict[int, str] = {}
        self._resources: dict[str, _Target] = {"": _Target((), self.root, "")}
        self._anchors: dict[tuple[str, str], _Target] = {}
        self._dynamic: dict[str, list[Schema]] = {}
        self.subschemas = list(islice(self._walk(), MAX_SUBSCHEMAS + 1))
        """Each object among them with its steps from the root; if too many, one too many."""

    def target(self, schema: Schema, keyword: str) -> Json:
        """What the reference of one of `subschemas` names.

        Raises:
            NotHereError: It is no part of this document.
            LookupError: There is nothing.
        """
        found: Json = self._find(self._bases[id(schema)], schema[keyword]).schema
        return found

    def targets(self, schema: Schema, keyword: str) -> list[Json]:
        """What a reference without problems may name: a dynamic one, one of several."""
        target = self.target(schema, keyword)
        if keyword == "$dynamicRef" and isinstance(target, dict):
            name = schema[keyword].partition("#")[2]
            if target.get("$dynamicAnchor") == unquote(name):
                return [*self._dynamic[unquote(name)]]
        return [target]

    def _find(self, base: str, reference: str) -> _Target:
        uri, _, fragment = reference.partition("#")
        fragment = unquote(fragment)
        uri = urljoin(base, uri)
        if uri not in self._resources:
            raise NotHereError(reference)
        resource = self._resources[uri]
        if fragment and not fragment.startswith("/"):
            return self._anchors[uri, fragment]
        steps = [step.replace("~1", "/").replace("~0", "~") for step in fragment.split("/")[1:]]
        return _Target((*resource.steps, *steps), _at(resource.schema, steps), uri)

    def _walk(self) -> Iterator[tuple[Steps, Schema]]:
        """Every subschema once: where a keyword has one, then wherever else a reference points."""
        found = deque([_Target((), self.root, "")])
        references: deque[tuple[str, str]] = deque()
        while found or references:
            if not found:
                try:
                    found.append(self._find(*references.popleft()))
                except LookupError:
                    continue
            steps, schema, base = found.pop()
            if not isinstance(schema, dict) or id(schema) in self._bases:
                continue
            base = self._name(_Target(steps, schema, base))
            yield steps, schema
            for keyword, value in schema.items():
                if keyword in REFERENCES and isinstance(value, str):
                    references.append((base, value))
                found.extend(
                    _Target((*steps, keyword, *s), sub, base) for s, sub in _below(keyword, value)
                )

    def _name(self, found: _Target) -> str:
        """Takes in the names that a subschema has; answers the base of the references in it."""
        steps, schema, base = found
        if isinstance(name := schema.get("$id"), str):
            base = urljoin(base, name.removesuffix("#"))
            if self._resources.setdefault(base, _Target(steps, schema, base)).schema is not schema:
                self.repeated_ids.append(steps)
        self._bases[id(schema)] = base
        for keyword in ("$anchor", "$dynamicAnchor"):
            if isinstance(anchor := schema.get(keyword), str):
                self._anchors.setdefault((base, anchor), _Target(steps, schema, base))
        if isinstance(anchor := schema.get("$dynamicAnchor"), str):
            self._dynamic.setdefault(anchor, []).append(schema)
        return base


def _below(keyword: str, value: Any) -> Iterator[tuple[Steps, Any]]:
    if keyword in _SCHEMA:
        yield (), value
    elif keyword in _SCHEMAS_BY_INDEX and isinstance(value, list):
        yield from (((index,), item) for index, item in enumerate(value))
    elif keyword in _SCHEMAS_BY_NAME and isinstance(value, dict):
        yield from (((name,), item) for name, item in value.items())


def _at(json: Json, steps: list[str]) -> Json:
    """Raises LookupError if there is nothing."""
    for step in steps:
        match json:
            case dict():
                json = json[step]
            case list() if step.isdecimal() and len(step) <= len(str(MAX_NODES)):
                json = json[int(step)]
            case _:
                raise LookupError(step)
    return json
