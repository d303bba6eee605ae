"""`parameters_schema` of a template: JSON Schema 2020-12 that is safe to evaluate.

Safe means: one document that refers only to itself, so nothing is ever fetched; patterns of a
linear-time engine, so none explodes; at most 1,000 subschemas that apply to one value; a size at
which it compiles in some milliseconds; and defaults that fit the schemas they stand in.
"""

from collections.abc import Iterator
from operator import attrgetter

from google.protobuf.struct_pb2 import Struct

from vwed_grpc.domain.errors import Violation
from vwed_grpc.domain.json_value import MAX_PROBLEMS, member
from vwed_grpc.domain.parameters import default_problems
from vwed_grpc.domain.schema_application import MAX_AT_ONE_VALUE, Application, EndlessError
from vwed_grpc.domain.schema_document import (
    MAX_SUBSCHEMAS,
    REFERENCES,
    NotHereError,
    Schema,
    SchemaDocument,
    Steps,
)
from vwed_grpc.domain.schema_validation import (
    DIALECT,
    MAX_PATTERN_SIZE,
    compile_problems,
    meta_schema_problems,
)

MAX_PATTERNS = 100

_BYTES_PER_MISFIT = 8
_STANDARD = "https://json-schema.org/draft/"
"""Such names are those of schemas that the library has."""


def schema_problems(schema: Struct, path: str) -> list[Violation]:
    """What keeps a schema from being valid and safe, by path below `path`; at most 100.

    The schema is within the limits of `json_value`. Of one above 40,000 bytes that does not fit the
    meta-schema, only the first misfit is named.
    """
    document = SchemaDocument(schema)
    if len(document.subschemas) > MAX_SUBSCHEMAS:
        return [Violation(path, f"has more than {MAX_SUBSCHEMAS:,} subschemas")]
    problems = list(_unsafe(document, path))
    size = schema.ByteSize() // _BYTES_PER_MISFIT
    problems += meta_schema_problems(document.root, path, size=size)
    problems = (
        problems
        or list(_costly(document, path))
        or compile_problems(document.root, path)
        or [Violation(_at(path, steps), problem) for steps, problem in default_problems(document)]
    )
    return sorted(problems, key=attrgetter("field", "description"))[:MAX_PROBLEMS]


def _unsafe(document: SchemaDocument, path: str) -> Iterator[Violation]:
    patterns = 0
    for steps in document.repeated_ids:
        yield Violation(f"{_at(path, steps)}.$id", "is the $id of another subschema")
    for steps, schema in document.subschemas:
        where = _at(path, steps)
        if str(schema.get("$id", "")).startswith(_STANDARD):
            yield Violation(f"{where}.$id", "is the name of a schema of the standard")
        if schema.get("$schema", DIALECT) != DIALECT:
            yield Violation(f"{where}.$schema", f"must be {DIALECT}")
        for keyword in REFERENCES:
            if isinstance(schema.get(keyword), str) and (
                problem := _dangling(document, schema, keyword)
            ):
                yield Violation(f"{where}.{keyword}", problem)
        for pattern_path, pattern in _patterns(schema, where):
            patterns += 1
            if patterns > MAX_PATTERNS:
                yield Violation(path, f"has more than {MAX_PATTERNS} patterns")
                return
            if compile_problems({"pattern": pattern}, pattern_path):
                yield Violation(
                    pattern_path,
                    "must be a regular expression without look-around and back-references, "
                    f"of at most {MAX_PATTERN_SIZE:,} bytes when compiled",
                )


def _costly(document: SchemaDocument, path: str) -> Iterator[Violation]:
    """Of a document without other problems."""
    application = Application(document)
    for steps, schema in document.subschemas:
        try:
            if application.count(schema) > MAX_AT_ONE_VALUE:
                yield Violation(
                    _at(path, steps),
                    f"applies more than {MAX_AT_ONE_VALUE:,} subschemas to one value, "
                    "those that references name included",
                )
                return  # what stands around it does as well
        except EndlessError:
            yield Violation(_at(path, steps), "applies itself to the same value again")
            return


def _at(path: str, steps: Steps) -> str:
    for step in steps:
        path = member(path, step)
    return path


def _dangling(document: SchemaDocument, schema: Schema, keyword: str) -> str | None:
    try:
        target = document.target(schema, keyword)
    except NotHereError:
        return "must name a part of this schema: nothing is fetched"
    except LookupError:
        return "points to nothing"
    return None if isinstance(target, dict | bool) else "does not point to a schema"


def _patterns(schema: Schema, where: str) -> Iterator[tuple[str, str]]:
    if isinstance(pattern := schema.get("pattern"), str):
        yield f"{where}.pattern", pattern
    if isinstance(by_pattern := schema.get("patternProperties"), dict):
        for pattern in by_pattern:
            yield member(f"{where}.patternProperties", pattern), pattern
