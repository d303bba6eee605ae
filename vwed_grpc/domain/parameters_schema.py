"""`parameters_schema` of a template: JSON Schema 2020-12 that is safe to evaluate.

Safe means: one document that refers only to itself, so nothing is ever fetched; patterns of a
linear-time engine, so none explodes; and a size at which it compiles in some milliseconds.
"""

from collections.abc import Iterator
from itertools import islice
from operator import attrgetter

from google.protobuf.struct_pb2 import Struct

from vwed_grpc.domain.errors import Violation
from vwed_grpc.domain.json_value import MAX_PROBLEMS, member
from vwed_grpc.domain.schema_document import MAX_SUBSCHEMAS, REFERENCES, Schema, SchemaDocument
from vwed_grpc.domain.schema_validation import (
    DIALECT,
    MAX_PATTERN_SIZE,
    compile_problems,
    meta_schema_problems,
)

MAX_PATTERNS = 100

_BYTES_PER_UNIT_OF_WORK = 8


def schema_problems(schema: Struct, path: str) -> list[Violation]:
    """What keeps a schema from being valid and safe, by path below `path`; at most 100.

    The schema is within the limits of `json_value`. Of one above 40,000 bytes that does not fit the
    meta-schema, only the first misfit is named.
    """
    document = SchemaDocument(schema)
    if len(document.subschemas) > MAX_SUBSCHEMAS:
        return [Violation(path, f"has more than {MAX_SUBSCHEMAS:,} subschemas")]
    problems = list(islice(_unsafe(document, path), MAX_PROBLEMS))
    work = schema.ByteSize() // _BYTES_PER_UNIT_OF_WORK
    problems += meta_schema_problems(document.root, path, work=work)
    problems = problems or compile_problems(document.root, path)
    return sorted(problems, key=attrgetter("field", "description"))[:MAX_PROBLEMS]


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


def _dangling(document: SchemaDocument, reference: str) -> str | None:
    if not reference.startswith("#"):
        return "must begin with #: nothing is fetched"
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
