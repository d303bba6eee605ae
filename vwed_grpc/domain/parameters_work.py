"""How much work it is to check parameters against a schema, counted before it is done.

Linear-time patterns are not enough: `allOf` of twice the same reference, thirty times over, is a
billion evaluations, and checking cannot be interrupted.
"""

import re
from collections.abc import Iterator
from typing import Any

from vwed_grpc.domain.json_convert import Json
from vwed_grpc.domain.schema_document import REFERENCES, Schema, SchemaDocument

_MAX_NESTING = 200
"""Schemas applied within another, references included: more is not looked at."""

_COPIED_BYTES_PER_UNIT = 256
"""An error holds a copy of its value."""

_MATCHED_BYTES_PER_UNIT = 8
"""A pattern may take some nanoseconds for each of its states and each byte."""

_UNEVALUATED = frozenset({"unevaluatedItems", "unevaluatedProperties"})
_UNEVALUATED_FACTOR = 3
"""The library evaluates what stands beside these keywords up to three times."""

_IN_PLACE = ("not", "if", "then", "else")
_IN_PLACE_LISTS = ("allOf", "anyOf", "oneOf")
_OTHER_MEMBERS = ("additionalProperties", "unevaluatedProperties")
_EACH_ITEM = ("items", "contains", "unevaluatedItems")

_TOKEN = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]|\{(\d{1,9})(?:,(\d{0,9}))?\}|.", re.DOTALL)


def work(document: SchemaDocument, parameters: Json, limit: int) -> int:
    """An upper bound of the work, in units of 0.1 to 0.3 µs; above `limit`: `limit` + 1."""
    try:
        return _Meter(document, limit).measure(document.root, parameters, 0)
    except _TooMuchError:
        return limit + 1


def states(pattern: str) -> int:
    """About how many states a regular expression has, its counted repetitions written out."""
    groups = [1]
    last = 0
    for token in _TOKEN.finditer(pattern):
        if token[0] == "(":
            groups.append(0)
        elif token[0] == ")" and len(groups) > 1:
            last = groups.pop()
            groups[-1] += last
        elif token[1]:
            times = max(int(token[1]), int(token[2] or 0), 1)
            groups[-1] += last * (times - 1)
            last *= times
        else:
            last = 1
            groups[-1] += last
    return sum(groups)


class _TooMuchError(Exception):
    pass


class _Meter:
    """What the library evaluates: each schema at each value where it applies, by every way there.

    Ways are counted, not walked: what a schema costs at a value is measured once.
    """

    def __init__(self, document: SchemaDocument, limit: int) -> None:
        self._document = document
        self._limit = limit
        self._costs: dict[tuple[int, int], int] = {}
        self._sizes: dict[int, int] = {}
        self._plans: dict[int, _Plan] = {}

    def measure(self, schema: Json, value: Json, nesting: int) -> int:
        if not isinstance(schema, dict):
            return 1
        key = id(schema), id(value)
        if key in self._costs:
            return self._costs[key]
        if nesting > _MAX_NESTING or len(self._costs) > self._limit:
            raise _TooMuchError
        plan = self._plans.get(id(schema))
        if plan is None:
            plan = self._plans[id(schema)] = _Plan(schema, self._document)
        self._costs[key] = 0  # a reference back to here, without a step into the value, is cut
        cost = plan.own_cost(value, self._size(value))
        if not plan.is_leaf:
            for applied, target in plan.applied(value):
                cost += self.measure(applied, target, nesting + 1)
                if cost > self._limit:
                    break
        cost *= plan.factor
        if cost > self._limit:
            raise _TooMuchError
        self._costs[key] = cost
        return cost

    def _size(self, value: Json) -> int:
        """About the bytes of a value."""
        if isinstance(value, str):
            return len(value)
        if not isinstance(value, dict | list):
            return 8
        size = self._sizes.get(id(value))
        if size is None:
            items = value.values() if isinstance(value, dict) else value
            names = sum(map(len, value)) if isinstance(value, dict) else 0
            size = self._sizes[id(value)] = names + sum(map(self._size, items)) + 8
        return size


class _Plan:
    """A schema as the meter needs it."""

    def __init__(self, schema: Schema, document: SchemaDocument) -> None:
        self._listed = 1 + sum(len(v) for v in schema.values() if isinstance(v, list | dict))
        self._errors = len(schema) + len(schema.get("required", ()))
        self._errors += sum(map(len, schema.get("dependentRequired", {}).values()))
        self._states = states(schema["pattern"]) if "pattern" in schema else 0
        self._states += "format" in schema
        self._in_place = [schema[keyword] for keyword in _IN_PLACE if keyword in schema]
        self._in_place += [each for k in _IN_PLACE_LISTS for each in schema.get(k, ())]
        self._in_place += schema.get("dependentSchemas", {}).values()
        self._in_place += [document.target(schema[k]) for k in REFERENCES if k in schema]
        self._properties: Schema = schema.get("properties", {})
        self._by_pattern: Schema = schema.get("patternProperties", {})
        self._name_states = sum(map(states, self._by_pattern))
        self._others = [schema[k] for k in _OTHER_MEMBERS if isinstance(schema.get(k), dict)]
        self._names: Json = schema.get("propertyNames")
        self._first: list[Any] = schema.get("prefixItems", [])
        self._items = [schema[k] for k in _EACH_ITEM if isinstance(schema.get(k), dict)]
        self.factor = 1 if _UNEVALUATED.isdisjoint(schema) else _UNEVALUATED_FACTOR
        members = self._properties or self._by_pattern or self._others or self._names is not None
        self.is_leaf = not (self._in_place or members or self._first or self._items)

    def own_cost(self, value: Json, size: int) -> int:
        """Of the schema's own keywords at a value of that many bytes."""
        cost = self._listed + self._errors * (1 + size // _COPIED_BYTES_PER_UNIT)
        if isinstance(value, str):
            cost += self._states * size // _MATCHED_BYTES_PER_UNIT
        elif isinstance(value, dict) and self._name_states:
            bytes_of_names = sum(map(len, value))
            cost += self._name_states * bytes_of_names // _MATCHED_BYTES_PER_UNIT
        return cost

    def applied(self, value: Json) -> Iterator[tuple[Json, Json]]:
        """The schemas inside, and where they apply; where a pattern decides, everywhere."""
        for schema in self._in_place:
            yield schema, value
        if isinstance(value, dict):
            for name, item in value.items():
                yield from self._applied_to_member(name, item)
        elif isinstance(value, list):
            yield from zip(self._first, value, strict=False)
            for schema in self._items:
                for item in value:
                    yield schema, item

    def _applied_to_member(self, name: str, item: Json) -> Iterator[tuple[Json, Json]]:
        if name in self._properties:
            yield self._properties[name], item
        else:
            for schema in self._others:
                yield schema, item
        for schema in self._by_pattern.values():
            yield schema, item
        if self._names is not None:
            yield self._names, name
