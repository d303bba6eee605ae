"""Validating by JSON Schema 2020-12: nothing is fetched, patterns run in linear time.

The library is jsonschema-rs; this is all that knows its validators and errors.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any
from urllib.parse import quote

from jsonschema_rs import Draft202012Validator, RegexOptions, ValidationError

from vwed_grpc.domain.errors import Violation
from vwed_grpc.domain.json_convert import Json
from vwed_grpc.domain.json_value import MAX_PROBLEMS, member
from vwed_grpc.domain.schema_document import Schema, Steps

DIALECT = "https://json-schema.org/draft/2020-12/schema"

MAX_PATTERN_SIZE = 256 * 1024
"""Bytes of a compiled pattern: `^.{1,200}$` fits, and compiles in a millisecond."""

MAX_EXPLAINED_WORK = 2_000
"""Above it no error is built: one costs 10 to 20 µs for each alternative, and copies the value."""

_MAX_META_SCHEMA_ERRORS = 5_000

_MAX_DESCRIPTION = 512
_FORBIDDEN = "is not allowed here"
_MISFIT = "does not fit the schema"


def validator(schema: Schema) -> Draft202012Validator:
    """Compiles a schema without `compile_problems`; formats are checked."""
    return Draft202012Validator(
        schema,
        validate_formats=True,
        pattern_options=RegexOptions(size_limit=MAX_PATTERN_SIZE),
        mask="value",  # a description does not repeat what may be large or secret
        offline=True,
    )


def unfit(root: Schema, values: Sequence[tuple[Steps, Json]]) -> list[int]:
    """Which of the values do not fit the subschemas at their steps of a document without problems.

    Why is not asked: behind `if` the library builds no errors, whatever the alternatives.
    """
    name = root.get("$id", "schema").removesuffix("#")
    checks = {
        str(index): {"if": {"$ref": f"{name}#{_pointer(steps)}"}, "else": False}
        for index, (steps, _) in enumerate(values)
    }
    checked_by = validator({"properties": checks, "$defs": {"": {**root, "$id": name}}})
    json = {str(index): value for index, (_, value) in enumerate(values)}
    return sorted({int(error.instance_path[0]) for error in checked_by.iter_errors(json)})


@lru_cache(maxsize=256)
def _pattern(pattern: str) -> Draft202012Validator:
    return validator({"pattern": pattern})


def matches(pattern: str, text: str) -> bool:
    return _pattern(pattern).is_valid(text)


def compile_problems(schema: Schema, path: str) -> list[Violation]:
    """What keeps `schema` from being compiled: the first problem alone."""
    try:
        validator(schema)
    except ValidationError as error:
        return list(_violations(error, schema, path))
    return []


def meta_schema_problems(schema: Schema, path: str, *, size: int) -> list[Violation]:
    """What keeps `schema` from being a schema, apart from its patterns and references.

    Of one that is large, of `size` such values as may be wrong, only the first misfit is named.
    """
    if _META.is_valid(schema):
        return []
    if size <= _MAX_META_SCHEMA_ERRORS:
        return _sorted(list(_META.iter_errors(schema)), schema, path)
    try:
        _META.validate(schema)
    except ValidationError as error:
        return _sorted([error], schema, path)
    return []


def misfits(schema: Schema, json: dict[str, Json], path: str, *, work: int) -> list[Violation]:
    """What does not fit, by path below `path`, at most 100; of much work the members alone."""
    checked_by = validator(schema)
    if checked_by.is_valid(json):
        return []
    if work <= MAX_EXPLAINED_WORK:
        return _sorted(list(checked_by.iter_errors(json)), json, path)
    declared = schema.get("properties", {})
    names = [name for name in json if name in declared]
    wrong = unfit(schema, [(("properties", name), json[name]) for name in names])
    members = [Violation(member(path, names[index]), _MISFIT) for index in wrong[:MAX_PROBLEMS]]
    return members or [Violation(path, _MISFIT)]


def _pointer(steps: Steps) -> str:
    escaped = (str(step).replace("~", "~0").replace("/", "~1") for step in steps)
    return "".join(f"/{quote(step)}" for step in escaped)


def _sorted(errors: list[ValidationError], json: Json, path: str) -> list[Violation]:
    problems = {problem for error in errors for problem in _violations(error, json, path)}
    problems = problems or {Violation(path, _MISFIT)}  # never nothing
    return sorted(problems, key=attrgetter("field", "description"))[:MAX_PROBLEMS]


def _violations(error: ValidationError, json: Any, path: str) -> Iterator[Violation]:
    """One, or one for each name that is not allowed; `json` is the whole that was checked."""
    for named in error.instance_path:
        step, json = _step(named, json)
        path = member(path, step)
    match error.kind:
        case error.kind.Required(name):
            yield Violation(member(path, name), "is required")
        case error.kind.AdditionalProperties(names) | error.kind.UnevaluatedProperties(names):
            for name in names:
                yield Violation(member(path, name), _FORBIDDEN)
        case error.kind.FalseSchema() if error.schema_path[-1:] == ["additionalProperties"]:
            # Without `properties` beside it the library says no more, and no name is allowed.
            for name in json if isinstance(json, dict) else ():
                yield Violation(member(path, name), _FORBIDDEN)
        case error.kind.FalseSchema():
            yield Violation(path, _FORBIDDEN)
        case _:
            yield Violation(path, error.message.removeprefix("value ")[:_MAX_DESCRIPTION])


def _step(named: str | int, json: Json) -> tuple[str | int, Json]:
    """The member or item of `json` that a step of the library leads to."""
    if isinstance(json, list) and isinstance(named, int):
        return named, json[named]
    if not isinstance(json, dict):
        return named, None
    name = str(named)
    if name not in json:
        # The library takes every name of digits for an index: "007" is 7.
        name = next((n for n in json if n.lstrip("+0") == name.lstrip("0")), name)
    return name, json.get(name)


_META = Draft202012Validator({"$ref": DIALECT}, mask="value", offline=True)
