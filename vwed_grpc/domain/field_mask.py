"""The contract's field masks: which fields an update sets, and setting them."""

from collections.abc import Collection

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from vwed_grpc.domain.errors import InvalidArgument
from vwed_grpc.domain.wire_pieces import PIECE, merge_in_pieces


def masked_fields(mask: FieldMask, resource: Message, mutable: frozenset[str]) -> frozenset[str]:
    """The fields that an update with this mask sets: all of them are among `mutable`.

    An empty mask names the populated fields (what is populated but not mutable is left alone, as
    clients send back what they read), `*` every mutable one.

    Args:
        mask: Whole fields only: `labels`, not `labels.zone`.
        resource: The message that the request carries.
        mutable: What an update may change.

    Raises:
        InvalidArgument: On `update_mask`, for a path that is unknown, nested or not mutable.
    """
    if not mask.paths:
        return mutable & {field.name for field, _ in resource.ListFields()}
    for named in mask.paths:
        if named != "*" and named not in mutable:
            raise InvalidArgument.of("update_mask", f"{named[:64]!r} {_refusal(named, resource)}")
    return mutable if "*" in mask.paths else frozenset(mask.paths)


def apply_mask(target: Message, source: Message, fields: Collection[str]) -> None:
    """Make `fields` of `target` what they are in `source`: replaced whole, or cleared if absent."""
    populated = {field.name: value for field, value in source.ListFields()}
    for name in fields:
        target.ClearField(name)
        value = populated.get(name)
        if isinstance(value, Message) and value.ByteSize() > PIECE:
            merge_in_pieces(getattr(target, name), value.SerializeToString())
        elif hasattr(value, "MergeFrom"):  # a message, which is set even if empty; a list; a map
            getattr(target, name).MergeFrom(value)
        elif value is not None:
            setattr(target, name, value)


def _refusal(named: str, resource: Message) -> str:
    top, _, rest = named.partition(".")
    if top not in resource.DESCRIPTOR.fields_by_name:
        return f"is not a field of {resource.DESCRIPTOR.name}"
    return "is inside a field, which is replaced whole" if rest else "cannot be updated"
