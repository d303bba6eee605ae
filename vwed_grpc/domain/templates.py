"""Templates: configs with placeholders, and the configs that are made of them."""

from itertools import islice
from operator import attrgetter

from google.protobuf.struct_pb2 import Struct

from vwed_grpc.domain.config_tree import config_problems
from vwed_grpc.domain.errors import InvalidArgument, Violation
from vwed_grpc.domain.json_value import MAX_BYTES, MAX_PROBLEMS, member, struct_problems
from vwed_grpc.domain.merge_patch import merge_patch
from vwed_grpc.domain.parameters import complete_parameters
from vwed_grpc.domain.parameters_schema import schema_problems
from vwed_grpc.domain.placeholders import Filling, TooLargeError, names, path_of, templated


def problems_of_serialized(config: bytes, schema: bytes, path: str) -> list[Violation]:
    """`template_problems` of serialized arguments: for another process."""
    return template_problems(Struct.FromString(config), Struct.FromString(schema), path)


def template_problems(config: Struct, schema: Struct, path: str) -> list[Violation]:
    """What is wrong with a template's schema and placeholders, each by its path below `path`.

    Beyond that any JSON object is a template's config: a placeholder may stand where a list of
    blocks will, so the tree is checked when it is instantiated. Both arguments are within the
    limits of `json_value`. An unset schema is the empty one and declares no parameter.
    """
    properties = schema.fields.get("properties")
    declared = {} if properties is None else properties.struct_value.fields
    unknown = (
        Violation(
            path_of(place, f"{path}.config"), f"{name[:128]!r} is not a property of the schema"
        )
        for place, value in templated(config)
        for name in names(value.string_value)
        if name not in declared
    )
    return [
        *schema_problems(schema, f"{path}.parameters_schema"),
        *islice(unknown, MAX_PROBLEMS),
    ]


def instantiate_serialized(
    config: bytes, schema: bytes, parameters: bytes, overrides: bytes
) -> bytes:
    """`instantiate` of serialized arguments, serialized: for another process."""
    made = instantiate(*map(Struct.FromString, (config, schema, parameters, overrides)))
    # What is in order is parsed in a third of the time.
    return made.SerializeToString(deterministic=True)


def instantiate(config: Struct, schema: Struct, parameters: Struct, overrides: Struct) -> Struct:
    """The config that a template and parameters give; the same arguments always give the same.

    The parameters are completed and checked (`parameters.complete_parameters`) and filled in, then
    `overrides` is merged into the config (RFC 7396), then that is checked as every config is. As
    text a string is itself, a number without a fraction has none, true, false and null are those
    words, objects and lists are compact JSON with sorted keys.

    Args:
        config: Of a template without `template_problems`; so is `schema`. Not changed.
        schema: As above.
        parameters: Within the limits of `json_value`, as are `overrides`.
        overrides: Empty: none.

    Raises:
        InvalidArgument: With every parameter that does not fit or that a placeholder lacks; if
            there is none, with everything that is wrong with the result. Paths begin with
            `parameters` or, in the result, with `config`.
    """
    complete, problems = complete_parameters(schema, parameters, "parameters")
    misfits = {problem.field for problem in problems}
    result = Struct()
    result.CopyFrom(config)
    filling = Filling(complete)
    try:
        lacking = [
            Violation(field, f"is needed for {path_of(place, 'config')}")
            for place, value in templated(result)
            for name in filling.fill(value)
            if (field := member("parameters", name)) not in misfits
        ]
        problems += sorted(lacking, key=attrgetter("field", "description"))[:MAX_PROBLEMS]
    except TooLargeError:
        problems.append(Violation("config", f"is larger than {MAX_BYTES:,} bytes"))
    if problems:
        raise InvalidArgument(*problems)
    # Where only text came in there are as many values and levels as before: looking takes its time.
    may_exceed = filling.has_grown or result.ByteSize() > MAX_BYTES
    if overrides.fields:
        result = merge_patch(result, overrides)
        may_exceed = True
    problems = struct_problems(result, "config") if may_exceed else []
    problems = problems or config_problems(result)
    if problems:
        raise InvalidArgument(*problems)
    return result
