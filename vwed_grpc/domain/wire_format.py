"""Fields of serialized messages: what parsing and writing anew would cost more."""

from google.protobuf.message import DecodeError

DELIMITED = 2
"""The wire type, as the low three bits of a tag say it."""
_FIXED = {1: 8, 5: 4}
_CONTINUED = 0x80
"""Set in each byte of a varint but its last."""
_LONGEST_VARINT = 70


def field(number: int, value: bytes) -> bytes:
    """A length-delimited field on the wire."""
    return _varint(number << 3 | DELIMITED) + _varint(len(value)) + value


def merged(message: bytes, addition: bytes) -> bytes:
    """`message` with the content of `addition`, one length-delimited field, put into its own.

    Plain concatenation would say the field twice. A parser has to merge the two, but some replace
    the first. ValueError if the message has no such field.
    """
    tag, inner = read_varint(addition, 0)
    _, inner = read_varint(addition, inner)
    at = 0
    while at < len(message):
        found, value = read_varint(message, at)
        content, end = extent(message, found & 7, value)
        if found == tag:
            size = _varint(end - content + len(addition) - inner)
            return b"".join(
                (message[:value], size, message[content:end], addition[inner:], message[end:])
            )
        at = end
    raise ValueError(f"no field {tag >> 3} in the message")


def first_text(message: bytes) -> str:
    """The text of field 1, if the message begins with it; else empty."""
    if not message.startswith(bytes((1 << 3 | DELIMITED,))):
        return ""
    length, at = read_varint(message, 1)
    return message[at : at + length].decode(errors="replace")


def extent(raw: bytes, wire_type: int, at: int) -> tuple[int, int]:
    """Where the content of a field begins whose value is at `at`, and where it ends.

    Raises DecodeError.
    """
    if wire_type == DELIMITED:
        length, at = read_varint(raw, at)
        end = at + length
    elif wire_type in _FIXED:
        end = at + _FIXED[wire_type]
    elif wire_type == 0:
        end = read_varint(raw, at)[1]
    else:
        raise DecodeError("no message of ours has groups")
    if end > len(raw):
        raise DecodeError("a field is longer than its message")
    return at, end


def read_varint(raw: bytes, at: int) -> tuple[int, int]:
    """The number at `at`, and where it ends. Raises DecodeError."""
    try:
        byte = raw[at]
        if byte < _CONTINUED:
            return byte, at + 1
        value = shift = 0
        while byte >= _CONTINUED and shift < _LONGEST_VARINT:
            value |= (byte & 0x7F) << shift
            shift += 7
            at += 1
            byte = raw[at]
    except IndexError:
        raise DecodeError("a number is cut off") from None
    return value | byte << shift, at + 1


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= _CONTINUED:
        out.append(value & 0x7F | _CONTINUED)
        value >>= 7
    out.append(value)
    return bytes(out)
