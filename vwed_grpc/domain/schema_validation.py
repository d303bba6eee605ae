"""Validating by JSON Schema 2020-12: nothing is fetched, patterns run in linear time.

The library is jsonschema-rs; this is all that knows its validators and errors.
"""

from collections.abc import Iterator
from itertools import islice
from operator import attrgetter
from typing import Any

from jsonschema_rs import Draft202012Validator, RegexOptions, ValidationError

from vwed_grpc.domain.errors import Violation
from vwed_grpc.domain.json_convert import Json
from vwed_grpc.domain.json_value import MAX_PROBLEMS, member
from vwed_grpc.domain.schema_document import Schema

DIALECT = "https://json-schema.org/draft/2020-12/schema"

MAX_PATTERN_SIZE = 256 * 1024
"""Bytes of a compiled pattern: `^.{1,200}$` fits, and compiles in a millisecond."""

MAX_WORK_OF_ERRORS = 5_000
"""An error costs 7 µs and a copy of the value, and the library makes all of them at once."""

_MAX_DESCRIPTION = 512
_FORBIDDEN = "is not allowed here"


def validator(schema: Schema) -> Draft202012Validator:
    """Compiles a schema without `compile_problems`; formats are checked."""
    return Draft202012Validator(
        # Local references need no `$id`, and one may be the name of a schema the library knows.
        {keyword: value for keyword, value in schema.items() if keyword != "$id"},
        validate_formats=True,
        pattern_options=RegexOptions(size_limit=MAX_PATTERN_SIZE),
        mask="value",  # a description does not repeat what may be large or secret
        offline=True,
    )


def compile_problems(schema: Schema, path: str) -> list[Violation]:
    """What keeps `schema` from being compiled: the first problem alone."""
    try:
        validator(schema)
    except ValidationError as error:
        return list(_violations(error, schema, path))
    return []


def meta_schema_problems(schema: Schema, path: str, *, work: int) -> list[Violation]:
    """What keeps `schema` from being a schema, apart from its patterns and references."""
    return validation_problems(_META, schema, path, work=work)


def validation_problems(
    checked_by: Draft202012Validator, json: Json, path: str, *, work: int
) -> list[Violation]:
    """What does not fit, by path below `path`, at most 100; of much work the first misfit alone."""
    if checked_by.is_valid(json):
        return []
    if work <= MAX_WORK_OF_ERRORS:
        errors = list(checked_by.iter_errors(json))
    else:
        try:
            checked_by.validate(json)
        except ValidationError as error:
            errors = [error]
    problems = {problem for error in errors for problem in _violations(error, json, path)}
    problems = problems or {Violation(path, "does not fit the schema")}  # never nothing
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
            for name in names[:MAX_PROBLEMS]:
                yield Violation(member(path, name), _FORBIDDEN)
        case error.kind.FalseSchema() if error.schema_path[-1:] == ["additionalProperties"]:
            # Without `properties` beside it the library says no more, and no name is allowed.
            for name in islice(json if isinstance(json, dict) else (), MAX_PROBLEMS):
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
