"""The parameters of an instance: what was given, completed and checked by the template's schema."""

import copy
from collections.abc import Iterator

from google.protobuf.struct_pb2 import Struct

from vwed_grpc.domain.errors import Violation
from vwed_grpc.domain.json_convert import Json, from_struct
from vwed_grpc.domain.json_value import MAX_LEVELS, MAX_NODES
from vwed_grpc.domain.schema_application import MAX_WORK, Application
from vwed_grpc.domain.schema_document import Schema, SchemaDocument, Steps
from vwed_grpc.domain.schema_validation import matches, misfits, unfit


class _TooManyError(Exception):
    """Defaults bring in more than parameters may have; `args` say what."""


def complete_parameters(
    schema: Struct, given: Struct, path: str
) -> tuple[dict[str, Json], list[Violation]]:
    """The parameters with the schema's defaults, and what of them does not fit it, by path.

    A default stands in for an absent member of an object, wherever a schema that applies to the
    object in any case says so: by `properties`, also behind `$ref` and in `allOf`, in the items of
    lists and in objects that are defaults themselves. If several say so, the outermost is taken.
    Then all is checked, formats too. Members that the schema does not name are allowed unless it
    forbids them (`additionalProperties`).

    Args:
        schema: Without `schema_problems`.
        given: Within the limits of `json_value`; not changed.
        path: Of `given` in the request.
    """
    document = SchemaDocument(schema)
    parameters = from_struct(given)
    application = Application(document)
    try:
        _add_defaults(application, document.root, parameters)
    except _TooManyError as error:
        return parameters, [Violation(path, f"{error} by its defaults")]
    work = application.work(document.root, parameters)
    if work > MAX_WORK:
        return parameters, [Violation(path, "is too much to be checked against the schema")]
    return parameters, misfits(document.root, parameters, path, work=work)


def default_problems(document: SchemaDocument) -> Iterator[tuple[Steps, str]]:
    """What is wrong with the defaults of a document without other problems, each by its steps.

    It must fit the subschema that it stands in as it is taken: completed by the defaults of its own
    members.
    """
    application = Application(document)
    defaults: list[tuple[Steps, Json]] = []
    work = looked_at = 0
    for steps, schema in document.subschemas:
        if "default" in schema:
            default = copy.deepcopy(schema["default"])
            try:
                looked_at = _add_defaults(application, schema, default, looked_at)
            except _TooManyError as error:
                yield (*steps, "default"), f"{error} by the defaults inside"
                return
            work += application.work(schema, default)
            if work > MAX_WORK:
                yield (*steps, "default"), "is too much to be checked, with those before it"
                return
            defaults.append((steps, default))
    for index in unfit(document.root, defaults) if defaults else ():
        yield (*defaults[index][0], "default"), "does not fit the schema that it stands in"


def _add_defaults(application: Application, schema: Json, value: Json, looked_at: int = 0) -> int:
    """Changes `value`. Raises _TooManyError: those of a recursive schema may have no end.

    Answers `looked_at` with what it looked at, which costs too.
    """
    todo: list[tuple[list[Json], Json, int]] = [([schema], value, 1)]
    while todo:
        schemas, value, level = todo.pop()
        if not isinstance(value, dict | list):
            continue
        if level > MAX_LEVELS:
            raise _TooManyError(f"nests deeper than {MAX_LEVELS} levels")
        applied = {id(e): e for schema in schemas for e in application.always(schema)}.values()
        if isinstance(value, dict):
            looked_at += sum(len(each.get("properties", ())) for each in applied)
            for each in applied:
                _set_defaults(application, each.get("properties", {}), value)
        for step, item in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(item, dict | list):
                looked_at += 1 + len(applied)
                inside = [inner for each in applied for inner in _inside(each, step)]
                todo.append((inside, item, level + 1))
        if looked_at > MAX_NODES:
            raise _TooManyError(f"takes more than {MAX_NODES:,} steps to be completed")
    return looked_at


def _set_defaults(
    application: Application, properties: dict[str, Json], value: dict[str, Json]
) -> None:
    """Those of absent members."""
    for name in properties.keys() - value.keys():
        for each in application.always(properties[name]):
            if "default" in each:
                value[name] = copy.deepcopy(each["default"])
                break


def _inside(schema: Schema, step: str | int) -> Iterator[Json]:
    """What applies to a member or an item in any case."""
    if isinstance(step, int):
        first = schema.get("prefixItems", [])
        yield first[step] if step < len(first) else schema.get("items")
        return
    named = [schema["properties"][step]] if step in schema.get("properties", {}) else []
    by_pattern = schema.get("patternProperties", {})
    named += [inner for pattern, inner in by_pattern.items() if matches(pattern, step)]
    yield from named or [schema.get("additionalProperties")]
