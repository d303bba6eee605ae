"""Templates: configs with placeholders, and the configs that are made of them.

`${params.NAME}` stands for a parameter, where NAME is a property of the template's schema and has
no `}`. A string that is nothing else becomes the parameter's typed value; inside a text it becomes
text. `$${params.NAME}` is the text `${params.NAME}`. Keys, and what a parameter brings in, are not
looked at.
"""

import json
from collections.abc import Iterator
from itertools import islice

from google.protobuf.struct_pb2 import Struct, Value

from vwed_grpc.domain.config_tree import config_problems
from vwed_grpc.domain.errors import InvalidArgument, Violation
from vwed_grpc.domain.json_convert import Json, to_value
from vwed_grpc.domain.json_value import MAX_BYTES, MAX_PROBLEMS, member, struct_problems
from vwed_grpc.domain.merge_patch import merge_patch
from vwed_grpc.domain.parameters import complete_parameters
from vwed_grpc.domain.parameters_schema import schema_problems

_OPENING = "${params."
_CLOSING = "}"
_MARK = _OPENING.encode()


def template_problems(
    config: Struct, schema: Struct, path: str = "task_template"
) -> list[Violation]:
    """What is wrong with a template's schema and placeholders, each by its path below `path`.

    Beyond that any JSON object is a template's config: a placeholder may stand where a list of
    blocks will, so the tree is checked when it is instantiated. Both arguments are within the
    limits of `json_value`. An unset schema declares no parameter.
    """
    declared = schema.fields["properties"].struct_value.fields if "properties" in schema.fields else {}
    unknown = (
        Violation(where, f"{name[:128]!r} is not a property of parameters_schema")
        for where, value in _templated(config, f"{path}.config")
        for name, _ in _pieces(value.string_value)
        if name is not None and name not in declared
    )
    return [
        *schema_problems(schema, f"{path}.parameters_schema"),
        *islice(unknown, MAX_PROBLEMS),
    ]


def instantiate(
    config: Struct,
    schema: Struct,
    parameters: Struct,
    overrides: Struct | None = None,
    *,
    parameters_path: str = "parameters",
    config_path: str = "config",
) -> Struct:
    """The config that a template and parameters give; the same arguments always give the same.

    The parameters are completed and checked (`parameters.complete_parameters`) and filled in, then
    `overrides` is merged into the config (RFC 7396), then that is checked as every config is. As
    text a string is itself, a number without a fraction has none, true, false and null are those
    words, objects and lists are compact JSON with sorted keys.

    Args:
        config: Of a template without `template_problems`; so is `schema`. Not changed.
        schema: As above.
        parameters: Within the limits of `json_value`, as are `overrides`.
        overrides: None or empty: none.
        parameters_path: Of `parameters` in the request.
        config_path: What stands before the paths of problems in the result.

    Raises:
        InvalidArgument: With every parameter that does not fit or that a placeholder lacks; if
            there is none, with everything that is wrong with the result.
    """
    complete, problems = complete_parameters(schema, parameters, parameters_path)
    misfits = {problem.field for problem in problems}
    result = Struct()
    result.CopyFrom(config)
    filling = _Filling(complete, MAX_BYTES)
    for where, value in _templated(result, config_path):
        for name in filling.fill(value):
            needed = member(parameters_path, name)
            if needed not in misfits and len(problems) < MAX_PROBLEMS:
                problems.append(Violation(needed, f"has no value and no default for {where}"))
        if filling.room < 0:
            problems.append(Violation(config_path, f"is larger than {MAX_BYTES:,} bytes"))
            break
    if problems:
        raise InvalidArgument(*problems)
    if overrides is not None and overrides.fields:
        result = merge_patch(result, overrides)
    elif not filling.structured and result.ByteSize() <= MAX_BYTES:
        ...
    return result


class _Filling:
    """Fills parameters into strings, and knows what the limits of JSON may have to say to it."""

    def __init__(self, parameters: dict[str, Json], room: int) -> None:
        self.room = room
        """Bytes that may still come in; below 0 the result is too large, whatever it replaced."""
        self.has_grown = False
        """Whether an object or a list came in, and with it values and levels."""
        self._parameters = parameters
        self._texts: dict[str, str] = {}
        self._values: dict[str, Value] = {}

    def fill(self, value: Value) -> list[str]:
        """Fills in the string of `value`, or leaves it and answers the names it lacks."""
        pieces = list(_pieces(value.string_value))
        lacking = [n for n, _ in pieces if n is not None and n not in self._parameters]
        if lacking:
            return lacking
        if len(pieces) == 1 and (name := pieces[0][0]) is not None:
            typed = self._typed(name)
            self.room -= typed.ByteSize()
            if self.room >= 0: value.CopyFrom(typed)
        return []
