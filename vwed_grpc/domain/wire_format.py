"""Length-delimited fields of serialized messages: what parsing and writing anew would cost more.

Only for bytes that this service has serialized itself: nothing here is checked.
"""

_LENGTH_DELIMITED = 2
"""The wire type, as the low three bits of a tag say it."""
_CONTINUED = 0x80
"""Set in each byte of a varint but its last."""


def field(number: int, value: bytes) -> bytes:
    """A length-delimited field on the wire."""
    return _varint(number << 3 | _LENGTH_DELIMITED) + _varint(len(value)) + value


def merged(message: bytes, addition: bytes) -> bytes:
    """`message` with the content of `addition`, one length-delimited field, put into its own.

    Plain concatenation would say the field twice. A parser has to merge the two, but some replace
    the first. ValueError if the message has no such field.
    """
    tag, inner = _read_varint(addition, 0)
    _, inner = _read_varint(addition, inner)
    at = 0
    while at < len(message):
        found, value = _read_varint(message, at)
        end = _end(message, value, found & 7)
        if found == tag:
            _, content = _read_varint(message, value)
            size = _varint(end - content + len(addition) - inner)
            return b"".join(
                (message[:value], size, message[content:end], addition[inner:], message[end:])
            )
        at = end
    raise ValueError(f"no field {tag >> 3} in the message")


def first_text(message: bytes) -> str:
    """The text of field 1, if the message begins with it; else empty."""
    if not message.startswith(bytes((1 << 3 | _LENGTH_DELIMITED,))):
        return ""
    length, at = _read_varint(message, 1)
    return message[at : at + length].decode(errors="replace")


def _end(message: bytes, at: int, wire_type: int) -> int:
    """Where the value at `at` ends."""
    match wire_type:
        case 0:  # a varint
            return _read_varint(message, at)[1]
        case 1:  # 64 bits
            return at + 8
        case 5:  # 32 bits
            return at + 4
        case _:  # length-delimited: no message of ours has groups
            length, at = _read_varint(message, at)
            return at + length


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at `at`, and where it ends."""
    value = shift = 0
    while (byte := data[at]) >= _CONTINUED:
        value |= (byte & 0x7F) << shift
        shift += 7
        at += 1
    return value | byte << shift, at + 1


def _varint(value: int) -> bytes:
    if value < _CONTINUED:
        return bytes((value,))
    out = bytearray()
    while value >= _CONTINUED:
        out.append(value & 0x7F | _CONTINUED)
        value >>= 7
    out.append(value)
    return bytes(out)
