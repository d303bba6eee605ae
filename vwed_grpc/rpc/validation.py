"""Whether a request is one that the contract allows; every problem is told at once.

The rules stand in the protos (protovalidate); `shape` adds what no rule can say.
"""

from collections.abc import Callable
from itertools import islice
from typing import Any, Generic, NamedTuple, TypeVar

from google.protobuf.message import DecodeError, Message
from protovalidate import EvaluationError, Validator

from vwed_grpc.domain.errors import InvalidArgument, Violation, VwedError
from vwed_grpc.domain.json_value import MAX_PROBLEMS
from vwed_grpc.domain.wire_pieces import TooManyFieldsError, merge_in_pieces
from vwed_grpc.rpc.demands import demand
from vwed_grpc.rpc.shape import MAX_ITEMS, shape_of, subscript

M = TypeVar("M", bound=Message)

_MAY_BE_CROWDED = 2 * MAX_ITEMS
"""Bytes; a shorter message has no list with more items than are looked at."""
_validator = Validator()  # compiles the rules of a message type once


class MalformedMessage(InvalidArgument):
    """Bytes that are not the message that the method takes."""

    def __init__(self, type_name: str) -> None:
        VwedError.__init__(self, "MALFORMED_MESSAGE", f"the bytes are not a {type_name}")


class Checked(NamedTuple, Generic[M]):
    """A request, and why it is refused, if it is; one that did not parse holds what did."""

    request: M
    problem: InvalidArgument | None


def checker(request_type: type[M]) -> Callable[[bytes], Checked[M]]:
    """Parses and checks the requests of one method; times come out in microseconds."""
    shape = shape_of(request_type.DESCRIPTOR)
    type_name = request_type.DESCRIPTOR.full_name

    def check(raw: bytes) -> Checked[M]:
        request = request_type()
        try:
            merge_in_pieces(request, raw)
        except DecodeError:
            return Checked(request, MalformedMessage(type_name))
        except TooManyFieldsError as error:
            where = ".".join(error.args)
            return Checked(request, InvalidArgument.of(where, "has far too many values"))
        if len(raw) > _MAY_BE_CROWDED and (crowded := shape.crowded(request, "")):
            return Checked(request, InvalidArgument(*crowded))
        misshapen: list[Violation] = []
        shape.normalize(request, "", misshapen, nul=b"\0" in raw)
        try:
            broken = _broken_rules(request)
        except EvaluationError:  # a duration that is none cannot be compared with its bounds
            broken = [] if misshapen else [Violation("", "cannot be checked")]
        if not misshapen and not broken:
            return Checked(request, None)
        named = {violation.field for violation in broken}
        broken += [violation for violation in misshapen if violation.field not in named]
        return Checked(request, InvalidArgument(*broken))

    return check


def validate(message: Message, path: str) -> None:
    """Checks a message against its rules: what an update would make of a resource, say.

    Raises InvalidArgument, which names the fields from `path` on.
    """
    if broken := _broken_rules(message):
        raise InvalidArgument(
            *(Violation(f"{path}.{v.field}".rstrip("."), v.description) for v in broken)
        )


def _broken_rules(message: Message) -> list[Violation]:
    of = message.DESCRIPTOR
    return [
        _violation(found.proto, demand(of, found))
        for found in islice(_validator.collect_violations(message), MAX_PROBLEMS)
    ]


def _violation(found: Any, text: str) -> Violation:
    path = ""
    for element in found.field.elements if found.field else ():
        path += f".{element.field_name}"
        match element.subscript:
            case None:
                pass
            case subscripted if subscripted.field == "index":
                path += f"[{subscripted.value}]"
            case subscripted:
                path += subscript(str(subscripted.value))
    return Violation(path.removeprefix("."), f"the key {text}" if found.for_key else text)
