"""A run's input, checked against the `inputs` of its definition and completed by their defaults."""

from google.protobuf.struct_pb2 import Struct

from vwed_grpc.domain.config_tree import fits
from vwed_grpc.domain.errors import InvalidArgument, Violation
from vwed_grpc.domain.json_value import member, struct_problems


def complete_input(config: Struct, given: Struct, path: str = "task_record.input") -> None:
    """Makes of what was given the input that the run keeps, with the default of every other input.

    Names that the config does not declare are allowed and kept: orders of a WMS or MES carry
    context for the executor, and a config without `inputs` must not refuse every input.

    Args:
        config: A well-formed configuration (`config_tree.config_problems`).
        given: Gets the defaults that it lacks.
        path: Of `given` in the request.

    Raises:
        InvalidArgument: With every input that is missing or of the wrong type, by its path; or if
            the defaults take the input over the limits of JSON.
    """
    inputs = config.fields.get("inputs")
    if inputs is None:
        return
    problems: list[Violation] = []
    for item in inputs.list_value.values:
        declared = item.struct_value.fields
        name, input_type = declared["name"].string_value, declared["type"].string_value
        value, default = given.fields.get(name), declared.get("default")
        if value is not None:
            if not fits(value, input_type):
                problems.append(Violation(member(path, name), f"must be of type {input_type}"))
        elif default is not None:
            given.fields[name].CopyFrom(default)
        elif "required" in declared and declared["required"].bool_value:
            problems.append(Violation(member(path, name), "is required"))
    problems = problems or struct_problems(given, path)
    if problems:
        raise InvalidArgument(*problems)
