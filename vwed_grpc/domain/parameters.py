"""The parameters of an instance: what was given, completed and checked by the template's schema."""

from typing import Any

from google.protobuf.struct_pb2 import Struct

from vwed_grpc.domain.errors import Violation
from vwed_grpc.domain.json_convert import Json, from_struct
from vwed_grpc.domain.json_value import MAX_NODES
from vwed_grpc.domain.parameters_work import work
from vwed_grpc.domain.schema_document import SchemaDocument
from vwed_grpc.domain.schema_validation import validation_problems, validator

MAX_WORK = 500_000
"""Units of `parameters_work.work`: 0.15 s at worst. Tens of parameters are some hundreds."""


def complete_parameters(
    schema: Struct, given: Struct, path: str
) -> tuple[dict[str, Json], list[Violation]]:
    """The parameters with the schema's defaults, and what of them does not fit it, by path.

    A default stands in for a member that is absent. It is looked for in `properties`, also behind
    `$ref`, for the parameters themselves and inside objects that were given; it is taken as it
    stands and then checked like what was given. Formats are checked. Members that the schema does
    not name are allowed unless it forbids them (`additionalProperties`).

    Args:
        schema: Without `schema_problems`.
        given: Within the limits of `json_value`; not changed.
        path: Of `given` in the request.
    """
    document = SchemaDocument(schema)
    parameters = from_struct(given)
    if not _add_defaults(document, parameters):
        return parameters, [Violation(path, f"has more than {MAX_NODES:,} values by its defaults")]
    effort = work(document, parameters, MAX_WORK)
    if effort > MAX_WORK:
        return parameters, [Violation(path, "is too much to be checked against the schema")]
    return parameters, validation_problems(validator(document.root), parameters, path, work=effort)


def _add_defaults(document: SchemaDocument, parameters: dict[str, Json]) -> bool:
    """Whether that stayed within 50,000 values, which a recursive schema can exceed by far."""
    added = 0
    objects: list[tuple[Any, dict[str, Json]]] = [(document.root, parameters)]
    while objects:
        schema, values = objects.pop()
        for name, declared in _first(document, schema, "properties", {}).items():
            if name in values:
                value = values[name]
                if isinstance(value, dict):
                    objects.append((declared, value))
                continue
            default = _first(document, declared, "default", _NONE)
            if default is not _NONE:
                values[name] = default
            added += 1  # also the looking costs
            if added > MAX_NODES:
                return False
    return True


_NONE = object()


def _first(document: SchemaDocument, schema: Any, keyword: str, otherwise: Any) -> Any:
    """A keyword of a schema, or else of what that refers to."""
    seen = set()
    while isinstance(schema, dict) and id(schema) not in seen:
        if keyword in schema:
            return schema[keyword]
        seen.add(id(schema))
        schema = document.target(schema["$ref"]) if "$ref" in schema else None
    return otherwise
