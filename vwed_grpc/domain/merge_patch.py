"""RFC 7396: an object that says what to change in another one."""

from google.protobuf.struct_pb2 import Struct


def merge_patch(target: Struct, patch: Struct) -> Struct:
    """`target` with `patch` applied: null removes a member, objects are merged, all else replaces.

    Neither argument is changed. Both are within the limits of `json_value`; the result has at most
    the levels of the deeper one, and may have the values and bytes of both.
    """
    merged = Struct()
    merged.CopyFrom(target)
    _merge(merged, patch)
    return merged


def _merge(target: Struct, patch: Struct) -> None:
    for key, change in patch.fields.items():
        kind = change.WhichOneof("kind")
        if kind == "null_value":
            target.fields.pop(key, None)
        elif kind == "struct_value":
            # Whatever stood there that is no object becomes an empty one; so nulls inside vanish.
            _merge(target.fields[key].struct_value, change.struct_value)
            target.fields[key].struct_value.SetInParent()
        else:
            target.fields[key].CopyFrom(change)
