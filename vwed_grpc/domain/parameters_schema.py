"""`parameters_schema` of a template: JSON Schema 2020-12 that is safe to evaluate.

Safe means: one document that refers only to itself, so nothing is ever fetched; patterns of a
linear-time engine, so none explodes; and a size at which it compiles in a few milliseconds.
"""

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Any, TypeAlias
from urllib.parse import unquote

from google.protobuf.struct_pb2 import Struct
from jsonschema_rs import Draft202012Validator, RegexOptions, ValidationError

from vwed_grpc.domain.errors import Violation
from vwed_grpc.domain.json_convert import Json, from_struct
from vwed_grpc.domain.json_value import MAX_NODES, MAX_PROBLEMS, member

MAX_SUBSCHEMAS = 2_000
MAX_PATTERNS = 100
MAX_PATTERN_SIZE = 256 * 1024
"""Bytes of a compiled pattern: `^.{1,200}$` fits, and compiles in a millisecond."""

DIALECT = "https://json-schema.org/draft/2020-12/schema"
REFERENCES = ("$ref", "$dynamicRef")
"""Without `$id` inside there is one resource, in which both find the same."""

_MAX_DESCRIPTION = 512
_FORBIDDEN = "is not allowed here"

_SCHEMA = frozenset({
    "additionalProperties", "contains", "contentSchema", "else", "if", "items", "not",
    "propertyNames", "then", "unevaluatedItems", "unevaluatedProperties",
})  # fmt: skip
_SCHEMAS_BY_INDEX = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_SCHEMAS_BY_NAME = frozenset({
    "$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties",
})  # fmt: skip

Schema: TypeAlias = dict[str, Any]


class SchemaDocument:
    """A schema and what its references name. An ill-formed one has just fewer subschemas."""

    def __init__(self, schema: Struct) -> None:
        self.root: Schema = from_struct(schema)
        self.subschemas = list(islice(self._walk(), MAX_SUBSCHEMAS + 1))
        """Each with its steps from the root; one more than allowed if there are more."""
        self.anchors = {
            anchor: subschema
            for _, subschema in self.subschemas
            for keyword in ("$anchor", "$dynamicAnchor")
            if isinstance(anchor := subschema.get(keyword), str)
        }

    def target(self, reference: str) -> Json:
        """What a local reference names: a schema. Raises LookupError if there is nothing."""
        if reference == "#" or reference.startswith("#/"):
            return _at(self.root, _steps(reference))
        return self.anchors[unquote(reference.removeprefix("#"))]

    def compile(self) -> Draft202012Validator:
        """Raises ValueError for what is no schema; `schema_problems` says it by path."""
        # Without `$id`, which has no meaning where all references are local.
        schema = {keyword: value for keyword, value in self.root.items() if keyword != "$id"}
        return _validator(schema)

    def _walk(self) -> Iterator[tuple[tuple[str | int, ...], Schema]]:
        """Every subschema once: where a keyword has one, and wherever a reference points to."""
        seen = set()
        found: deque[tuple[tuple[str | int, ...], Any]] = deque([((), self.root)])
        while found:
            steps, schema = found.pop()
            if not isinstance(schema, dict) or id(schema) in seen:
                continue
            seen.add(id(schema))
            yield steps, schema
            for keyword, value in schema.items():
                here = (*steps, keyword)
                if keyword in _SCHEMA:
                    found.append((here, value))
                elif keyword in _SCHEMAS_BY_INDEX and isinstance(value, list):
                    found.extend(((*here, index), item) for index, item in enumerate(value))
                elif keyword in _SCHEMAS_BY_NAME and isinstance(value, dict):
                    found.extend(((*here, name), item) for name, item in value.items())
                elif keyword in REFERENCES and isinstance(value, str) and value.startswith("#/"):
                    try:
                        target = _at(self.root, _steps(value))
                    except LookupError:
                        continue  # said by `schema_problems`
                    found.appendleft((tuple(_steps(value)), target))


def schema_problems(schema: Struct, path: str) -> list[Violation]:
    """What keeps a schema from being safe and valid, by path below `path`; at most 100.

    The schema is within the limits of `json_value`. Of one above 40,000 bytes that does not fit the
    meta-schema, only the first misfit is named.
    """
    document = SchemaDocument(schema)
    if len(document.subschemas) > MAX_SUBSCHEMAS:
        return [Violation(path, f"has more than {MAX_SUBSCHEMAS:,} subschemas")]
    problems = list(islice(_unsafe(document, path), MAX_PROBLEMS))
    problems += problems_of(_META, document.root, path, work=schema.ByteSize() // 8)
    if not problems:
        try:
            document.compile()
        except ValueError as error:
            problems.append(Violation(path, str(error).partition("\n")[0][:_MAX_DESCRIPTION]))
    return sorted(problems, key=lambda problem: problem.field)[:MAX_PROBLEMS]


MAX_WORK_OF_ERRORS = 5_000
"""An error costs 7 µs and a copy of the value, and the library makes all of them at once."""


def problems_of(
    validator: Draft202012Validator, json: Json, path: str, *, work: int
) -> list[Violation]:
    """What does not fit the validator's schema, by path; of much work only the first misfit."""
    if validator.is_valid(json):
        return []
    if work <= MAX_WORK_OF_ERRORS:
        errors = list(validator.iter_errors(json))
    else:
        try:
            validator.validate(json)
        except ValidationError as error:
            errors = [error]
    problems = {problem for error in errors for problem in _violations(error, path)}
    return sorted(problems, key=lambda problem: (problem.field, problem.description))[:MAX_PROBLEMS]


def _violations(error: ValidationError, path: str) -> Iterator[Violation]:
    for step in error.instance_path:
        path = member(path, step)
    match error.kind:
        case error.kind.Required(name):
            yield Violation(member(path, name), "is required")
        case error.kind.AdditionalProperties(names) | error.kind.UnevaluatedProperties(names):
            yield from (Violation(member(path, name), _FORBIDDEN) for name in names[:MAX_PROBLEMS])
        case error.kind.FalseSchema() if error.schema_path[-1:] == ["additionalProperties"]:
            # So the library says it where no `properties` stand beside.
            names = islice(error.instance if isinstance(error.instance, dict) else (), MAX_PROBLEMS)
            yield from (Violation(member(path, name), _FORBIDDEN) for name in names)
        case error.kind.FalseSchema():
            yield Violation(path, _FORBIDDEN)
        case _:
            yield Violation(path, error.message.removeprefix("value ")[:_MAX_DESCRIPTION])


def _unsafe(document: SchemaDocument, path: str) -> Iterator[Violation]:
    patterns = 0
    for steps, schema in document.subschemas:
        where = path
        for step in steps:
            where = member(where, step)
        if steps and "$id" in schema:
            yield Violation(f"{where}.$id", "is allowed at the root alone")
        if schema.get("$schema", DIALECT) != DIALECT:
            yield Violation(f"{where}.$schema", f"must be {DIALECT}")
        for keyword in REFERENCES:
            reference = schema.get(keyword)
            if isinstance(reference, str) and (problem := _dangling(document, reference)):
                yield Violation(f"{where}.{keyword}", problem)
        for where_pattern, pattern in _patterns(schema, where):
            patterns += 1
            if patterns > MAX_PATTERNS:
                yield Violation(path, f"has more than {MAX_PATTERNS} patterns")
                return
            if not _is_linear(pattern):
                yield Violation(
                    where_pattern,
                    "must be a regular expression without look-around and back-references, "
                    f"of at most {MAX_PATTERN_SIZE:,} bytes when compiled",
                )


def _dangling(document: SchemaDocument, reference: str) -> str | None:
    if not reference.startswith("#"):
        return 'must be local: "#…"; nothing is fetched'
    try:
        target = document.target(reference)
    except LookupError:
        return "points to nothing"
    return None if isinstance(target, dict | bool) else "does not point to a schema"


def _patterns(schema: Schema, where: str) -> Iterator[tuple[str, str]]:
    if isinstance(pattern := schema.get("pattern"), str):
        yield f"{where}.pattern", pattern
    if isinstance(by_pattern := schema.get("patternProperties"), dict):
        for pattern in by_pattern:
            yield member(f"{where}.patternProperties", pattern), pattern


def _is_linear(pattern: str) -> bool:
    try:
        _validator({"pattern": pattern})
    except ValueError:
        return False
    return True


def _validator(schema: Schema) -> Draft202012Validator:
    return Draft202012Validator(
        schema,
        validate_formats=True,
        pattern_options=RegexOptions(size_limit=MAX_PATTERN_SIZE),
        mask="value",  # what a caller sent is not repeated to the reader of an error
        offline=True,
    )


_META = Draft202012Validator({"$ref": DIALECT}, mask="value", offline=True)


def _steps(pointer: str) -> list[str]:
    """Of a JSON pointer in a fragment: `#/a~1b/c%20d`."""
    tokens = unquote(pointer.removeprefix("#")).split("/")[1:]
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
