"""How much work it is to check parameters against a schema, counted before it is done.

Linear-time patterns are not enough: `allOf` of twice the same reference, thirty times over, is a
billion evaluations, and checking cannot be interrupted.
"""

import re
from typing import Any

from vwed_grpc.domain.json_convert import Json
from vwed_grpc.domain.parameters_schema import REFERENCES, SchemaDocument

_MAX_NESTING = 200
"""Schemas applied within another, references included: more is not looked at."""

_BYTES_PER_UNIT = 256
"""An error holds a copy of its value, so large values weigh more."""

_UNEVALUATED = frozenset({"unevaluatedItems", "unevaluatedProperties"})
_UNEVALUATED_FACTOR = 3
"""The library evaluates what stands beside these keywords up to three times."""

_TOKEN = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]|\{(\d{1,9})(?:,(\d{0,9}))?\}|.", re.DOTALL)
_STATE_BYTES_PER_UNIT = 8
"""A pattern of n states may take 8 ns times n for a byte."""


def work(document: SchemaDocument, parameters: Json, limit: int) -> int:
    """An upper bound of the work, in units of up to 100 ns; above `limit`: some number above it."""
    meter = _Meter(document, limit)
    try:
        return meter.measure(document.root, parameters, 0)
    except _TooMuchError:
        return limit + 1


class _TooMuchError(Exception):
    pass


class _Meter:
    """What the library evaluates: each schema at each value where it applies, by every way there.

    Ways are counted, not walked: what a schema costs at a value is measured once.
    """

    def __init__(self, document: SchemaDocument, limit: int) -> None:
        self._document = document
        self._limit = limit
        self._known: dict[tuple[int, int], int] = {}
        self._sizes: dict[int, int] = {}
        self._states: dict[str, int] = {}

    def measure(self, schema: Any, value: Json, nesting: int) -> int:
        if not isinstance(schema, dict):
            return 1
        key = id(schema), id(value)
        known = self._known.get(key)
        if known is not None:
            return known
        if nesting > _MAX_NESTING or len(self._known) > self._limit:
            raise _TooMuchError
        self._known[key] = 0  # a reference back to here, without a step into the value, is cut
        keywords = sum(len(v) if isinstance(v, list | dict) else 1 for v in schema.values())
        total = (1 + keywords) * (1 + self._size(value) // _BYTES_PER_UNIT)
        for applied, target in self._applied(schema, value):
            total += self.measure(applied, target, nesting + 1)
        match value:
            case str():
                total += self._matching(schema.get("pattern"), value)
                total += len(value) // _STATE_BYTES_PER_UNIT if "format" in schema else 0
            case dict() if by_pattern := schema.get("patternProperties"):
                total += sum(self._matching(p, name) for p in by_pattern for name in value)
        if not _UNEVALUATED.isdisjoint(schema):
            total *= _UNEVALUATED_FACTOR
        if total > self._limit:
            raise _TooMuchError
        self._known[key] = total
        return total

    def _applied(self, schema: dict[str, Any], value: Json) -> list[tuple[Any, Json]]:
        applied: list[tuple[Any, Json]] = []
        for keyword in ("allOf", "anyOf", "oneOf"):
            applied += [(each, value) for each in schema.get(keyword, ())]
        applied += [(schema[k], value) for k in ("not", "if", "then", "else") if k in schema]
        applied += [(each, value) for each in schema.get("dependentSchemas", {}).values()]
        applied += [(self._document.target(schema[k]), value) for k in REFERENCES if k in schema]
        match value:
            case dict():
                properties = schema.get("properties", {})
                applied += [(properties[n], item) for n, item in value.items() if n in properties]
                others = [item for name, item in value.items() if name not in properties]
                for keyword in ("additionalProperties", "unevaluatedProperties"):
                    if isinstance(schema.get(keyword), dict):
                        applied += [(schema[keyword], item) for item in others]
                for each in schema.get("patternProperties", {}).values():
                    applied += [(each, item) for item in value.values()]
                if "propertyNames" in schema:
                    applied += [(schema["propertyNames"], name) for name in value]
            case list():
                first = schema.get("prefixItems", [])
                applied += zip(first, value, strict=False)
                for keyword in ("items", "contains", "unevaluatedItems"):
                    if isinstance(schema.get(keyword), dict):
                        applied += [(schema[keyword], item) for item in value]
        return applied

    def _matching(self, pattern: Any, text: str) -> int:
        if not isinstance(pattern, str):
            return 0
        if pattern not in self._states:
            self._states[pattern] = states(pattern)
        return 1 + self._states[pattern] * len(text) // _STATE_BYTES_PER_UNIT

    def _size(self, value: Json) -> int:
        """About the bytes of a value."""
        match value:
            case str():
                return len(value)
            case dict() | list():
                if id(value) not in self._sizes:
                    items = value.values() if isinstance(value, dict) else value
                    own = sum(map(len, value)) if isinstance(value, dict) else 0
                    self._sizes[id(value)] = own + sum(8 + self._size(item) for item in items)
                return self._sizes[id(value)]
            case _:
                return 8


def states(pattern: str) -> int:
    """About how many states a regular expression has, its counted repetitions written out."""
    groups = [0]
    last = 0
    for token in _TOKEN.finditer(pattern):
        text = token[0]
        if text == "(":
            groups.append(0)
            last = 0
        elif text == ")" and len(groups) > 1:
            last = groups.pop()
            groups[-1] += last
        elif token[1]:
            times = max(int(token[1]), int(token[2] or 0), 1)
            groups[-1] += last * (times - 1)
            last *= times
        else:
            last = 1
            groups[-1] += 1
    return sum(groups) + 1
