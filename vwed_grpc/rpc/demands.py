"""What a broken rule asks for, in words: names for numbers, sentences for regular expressions.

protovalidate's own texts are for those who read the protos; most of them do for callers as well.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.descriptor import EnumDescriptor

from vwed_grpc.domain.ids import ID, ID_DEMAND

IS_REQUIRED = "is required"
UNKNOWN_NUMBER = "is not a number that the enum knows"
PATTERNS: Mapping[str, str] = {
    f"^{ID.pattern}$": ID_DEMAND,
    "^[a-z0-9][a-z0-9_.-]{0,62}$": (
        "must be at most 63 characters: small letters, digits, and after the first _ . -"
    ),
    "^([0-9]+([.][0-9]+)*)?$": 'must be numbers with dots between them, like "3.1", or empty',
}
"""Of the rules in the protos."""
_REQUIRED = {"required", "repeated.min_items"}
_REQUIRED_IF_EMPTY = {"string.min_len", "string.pattern", "int32.gte", "int64.gt", "enum.in"}
_EMPTY = {"", 0}
"""What a field holds that was not populated."""


def demand(of: Any, found: Any) -> str:
    """The text of one violation, as protovalidate found it in a message with this descriptor."""
    proto, rule, text = found.proto, found.rule_value, ""
    if proto.rule_id in _REQUIRED or (
        proto.rule_id in _REQUIRED_IF_EMPTY and found.field_value in _EMPTY and not proto.for_key
    ):
        return IS_REQUIRED
    match proto.rule_id:
        case "string.pattern":
            text = PATTERNS.get(rule, "is malformed")
        case "enum.in":
            text = f"must be {_one_of(_enum_of(of, found), rule)}"
        case "enum.not_in":
            text = f"must not be {_one_of(_enum_of(of, found), rule)}"
        case "enum.defined_only":
            text = UNKNOWN_NUMBER
        case "repeated.unique":
            text = "must not name the same twice"
        case "map.max_pairs":
            text = f"must have at most {rule} entries"
    return text or proto.message or proto.rule_id


def _enum_of(of: Any, found: Any) -> EnumDescriptor:
    """Of the field that the path ends at."""
    *outer, last = found.proto.field.elements
    for element in outer:
        of = of.fields_by_number[element.field_number].message_type
    enum: EnumDescriptor = of.fields_by_number[last.field_number].enum_type
    return enum


def _one_of(enum: EnumDescriptor, numbers: Sequence[int]) -> str:
    *firsts, last = (enum.values_by_number[number].name for number in numbers)
    return f"{', '.join(firsts)} or {last}" if firsts else last
