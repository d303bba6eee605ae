"""Which subschemas apply to a value, and how much work that is.

Two rules keep it small, for checking cannot be interrupted: no value has more than
`MAX_AT_ONE_VALUE` subschemas, which a template's writer is told; and what is checked has so many
values, with so many subschemas each, that their sum stays below `MAX_WORK`.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from vwed_grpc.domain.json_convert import Json
from vwed_grpc.domain.schema_document import REFERENCES, Schema, SchemaDocument

MAX_AT_ONE_VALUE = 1_000
MAX_WORK = 200_000
"""Of one check, which holds the interpreter: 25 ms at worst. Tens of parameters are hundreds."""

_ALTERNATIVES = ("not", "if", "then", "else")
_ALTERNATIVE_LISTS = ("anyOf", "oneOf")
_OTHER_MEMBERS = ("additionalProperties", "unevaluatedProperties")
_EACH_ITEM = ("items", "contains", "unevaluatedItems")
_UNEVALUATED = frozenset({"unevaluatedItems", "unevaluatedProperties"})
_UNEVALUATED_FACTOR = 3
"""The library evaluates what stands beside these keywords up to three times."""

_COPIED_BYTES = 256
_MATCHED_BYTES = 8
_NAMED_BYTES = 32
"""How much costs as much as a subschema: of a value that is copied, of a text for each state of a
pattern, and of the choices that an error names."""
_FORMAT = 8
"""States of a pattern that is as slow as the slowest format."""
_SLOW = 20
"""What costs as much as the slowest format of a short text."""
_COMPOSITE = 8
"""Subschemas that cost as much as a choice which is an object or a list."""
_INTEGER = 2
_FRACTION = 15
"""Subschemas that cost as much as comparing a number with a small integer, and with any other: the
library makes that an exact fraction, so its digits come on top, some 300 of 1e-300."""
_HASHED = 16
"""So many numbers that `uniqueItems` hashes cost as much as one that is compared."""
_SMALL = 1 << 53
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "const")

_TOKEN = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]|\{(\d{1,9})(?:,(\d{0,9}))?\}|.", re.DOTALL)


class EndlessError(Exception):
    """A schema applies to the value that it applies to already."""


class Application:
    """The subschemas of a document that has no dangling references, as they apply to values."""

    def __init__(self, document: SchemaDocument) -> None:
        self._document = document
        self._counts: dict[int, int | None] = {}
        self._in_place: dict[int, Counter[int]] = {}
        self._by_id = {id(schema): schema for _, schema in document.subschemas}
        self._own: dict[int, tuple[int, int, _Numbers]] = {}

    def always(self, schema: Any) -> Iterator[Schema]:
        """The schema and all that applies to the same value whatever that is; each once."""
        seen = set()
        found = [schema]
        while found:
            each = found.pop()
            if isinstance(each, dict) and id(each) not in seen:
                seen.add(id(each))
                yield each
                found += [*self._referred(each, certain=True), *each.get("allOf", [])][::-1]

    def count(self, schema: Json) -> int:
        """How many subschemas apply to one value, each as often as a way leads there.

        Raises EndlessError.
        """
        if not isinstance(schema, dict):
            return 1
        key = id(schema)
        if key not in self._counts:
            self._counts[key] = None
            inner = sum(map(self.count, self._applied_with(schema)))
            self._counts[key] = (1 + inner) * _factor(schema)
        count = self._counts[key]
        if count is None:
            raise EndlessError
        return count

    def work(self, schema: Json, value: Json) -> int:
        """An upper bound of the work to check a value, in units of 0.1 to 0.3 µs.

        It is not more than `MAX_WORK` + 1. No subschema has a `count` above the limit.
        """
        work = 0
        todo: list[Iterator[tuple[Counter[int], Json]]]
        todo = [iter([(self._at_one_value(schema), value)])]
        sizes: dict[int, int] = {}
        numbers: dict[int, _Numbers] = {}
        while todo and work <= MAX_WORK:
            if (found := next(todo[-1], None)) is None:
                todo.pop()
                continue
            applied, value = found
            size = _size(value, sizes)
            for key, times in applied.items():
                work += times * self._own_work(key, value, size, numbers)
            if isinstance(value, dict | list):
                inside = {key: n for key, n in applied.items() if _goes_inside(self._by_id[key])}
                work += sum(inside.values()) * len(value)
                if inside:
                    todo.append(self._inside(inside, value))
        return min(work, MAX_WORK + 1)

    def _referred(self, schema: Schema, *, certain: bool = False) -> Iterator[Json]:
        for keyword in REFERENCES:
            if keyword in schema:
                targets = self._document.targets(schema, keyword)
                if len(targets) == 1 or not certain:
                    yield from targets

    def _applied_with(self, schema: Schema) -> list[Json]:
        """What may apply to the same value as a schema does, directly."""
        return [
            *self._referred(schema),
            *schema.get("allOf", ()),
            *(schema[keyword] for keyword in _ALTERNATIVES if keyword in schema),
            *(each for keyword in _ALTERNATIVE_LISTS for each in schema.get(keyword, ())),
            *schema.get("dependentSchemas", {}).values(),
        ]

    def _at_one_value(self, schema: Json) -> Counter[int]:
        if not isinstance(schema, dict):
            return Counter()
        key = id(schema)
        if key not in self._in_place:
            found = Counter({key: 1})
            for inner in self._applied_with(schema):
                found.update(self._at_one_value(inner))
            factor = _factor(schema)
            self._in_place[key] = Counter({k: times * factor for k, times in found.items()})
        return self._in_place[key]

    def _inside(
        self, applied: dict[int, int], value: dict[str, Json] | list[Json]
    ) -> Iterator[tuple[Counter[int], Json]]:
        for step, item in value.items() if isinstance(value, dict) else enumerate(value):
            at_item: Counter[int] = Counter()
            at_name: Counter[int] = Counter()
            for key, times in applied.items():
                schema = self._by_id[key]
                for inner in _below(schema, step):
                    for k, n in self._at_one_value(inner).items():
                        at_item[k] += n * times
                if isinstance(step, str) and "propertyNames" in schema:
                    for k, n in self._at_one_value(schema["propertyNames"]).items():
                        at_name[k] += n * times
            yield at_item, item
            if at_name:
                yield at_name, str(step)

    def _own_work(self, key: int, value: Json, size: int, numbers: "dict[int, _Numbers]") -> int:
        """Of a schema's own keywords at a value of that many bytes."""
        if key not in self._own:
            schema = self._by_id[key]
            patterns = [schema["pattern"]] if "pattern" in schema else []
            states_ = sum(map(states, [*patterns, *schema.get("patternProperties", ())]))
            compared = [schema.get(name) for name in _BOUNDS] + schema.get("enum", [])
            states_ += _FORMAT * ("format" in schema)
            self._own[key] = _listed(schema), states_, _numbers(compared, {})
        listed, states_, own = self._own[key]
        work = listed * (1 + size // _COPIED_BYTES)
        if own.count:
            given = _numbers(value, numbers)
            work += given.count * own.work + own.count * given.work
        if states_ and isinstance(value, str | dict):
            matched = len(value) if isinstance(value, str) else sum(map(len, value))
            work += states_ * matched // _MATCHED_BYTES
        if isinstance(value, list) and self._by_id[key].get("uniqueItems"):
            work += size // 2 + _numbers(value, numbers).work // _HASHED
        return work


def _below(schema: Schema, step: str | int) -> Iterator[Json]:
    """What applies to a member or an item; where a pattern decides, as if it fitted."""
    if isinstance(step, str):
        properties = schema.get("properties", {})
        if step in properties:
            yield properties[step]
        else:
            yield from (schema[keyword] for keyword in _OTHER_MEMBERS if keyword in schema)
        yield from schema.get("patternProperties", {}).values()
    else:
        yield from schema.get("prefixItems", [])[step : step + 1]
        yield from (schema[keyword] for keyword in _EACH_ITEM if keyword in schema)


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


_INSIDE = (
    "properties", "patternProperties", *_OTHER_MEMBERS, "propertyNames", "prefixItems", *_EACH_ITEM,
)  # fmt: skip


def _goes_inside(schema: Schema) -> bool:
    return any(keyword in schema for keyword in _INSIDE)


def _factor(schema: Schema) -> int:
    return 1 if _UNEVALUATED.isdisjoint(schema) else _UNEVALUATED_FACTOR


def _listed(schema: Schema) -> int:
    choices: list[Any] = [*schema.get("enum", []), schema.get("const")]
    composite = sum(isinstance(choice, dict | list) for choice in choices)
    by_name = schema.get("dependentRequired", {}).values()
    required = [schema.get("required", ()), *by_name]
    named = _size(choices, {})
    slow = _SLOW * ("format" in schema)
    compared = named // _NAMED_BYTES + _COMPOSITE * composite
    compared += _INTEGER * isinstance(schema.get("const"), int | float)
    return 1 + slow + compared + len(by_name) + sum(map(len, required))


@dataclass(frozen=True, slots=True)
class _Numbers:
    """How many numbers are in a value, and what it costs to compare each of them once."""

    count: int
    work: int


def _numbers(value: Json, seen: dict[int, _Numbers]) -> _Numbers:
    if isinstance(value, dict | list):
        if id(value) not in seen:
            items = value.values() if isinstance(value, dict) else value
            each = [_numbers(item, seen) for item in items]
            seen[id(value)] = _Numbers(sum(n.count for n in each), sum(n.work for n in each))
        return seen[id(value)]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _Numbers(0, 0)
    if value == int(value) and abs(value) < _SMALL:
        return _Numbers(1, 0)
    _, digits, exponent = Decimal(repr(value)).as_tuple()
    return _Numbers(1, _FRACTION + len(digits) + abs(int(exponent)))


def _size(value: Json, sizes: dict[int, int]) -> int:
    """About the bytes of a value."""
    if isinstance(value, str):
        return len(value)
    if not isinstance(value, dict | list):
        return 8
    size = sizes.get(id(value))
    if size is None:
        items = value.values() if isinstance(value, dict) else value
        names = sum(map(len, value)) if isinstance(value, dict) else 0
        size = sizes[id(value)] = names + sum(_size(item, sizes) for item in items) + 8
    return size
