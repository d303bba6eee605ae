"""The form of ids, and ids and etags of the service's own making."""

import random
import re
import secrets
import time
from typing import Protocol

from vwed_grpc.domain.errors import Aborted, InvalidArgument

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
ID_DEMAND = "must be at most 128 characters: letters, digits, and after the first . _ : -"


def require_id(text: str, path: str) -> None:
    """For an id that may be left out elsewhere, as in a create. Raises InvalidArgument."""
    if not ID.fullmatch(text):
        raise InvalidArgument.of(path, ID_DEMAND if text else "is required")


_VERSION_7 = 0x7 << 76
_VARIANT = 0b10 << 62


def new_id() -> str:
    """A UUIDv7 (RFC 9562) as text: Unix time in milliseconds, then 74 random bits.

    Ids of later milliseconds are greater, so rows are appended to their index, not scattered in it.
    """
    milliseconds = time.time_ns() // 1_000_000
    a, b = random.getrandbits(12), random.getrandbits(62)
    text = f"{milliseconds << 80 | _VERSION_7 | a << 64 | _VARIANT | b:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def new_etag() -> str:
    """An opaque token that no other state of a resource has: 72 random bits, 12 characters."""
    return secrets.token_urlsafe(9)


class Tagged(Protocol):
    """A resource with an etag."""

    id: str
    etag: str


def check_etag(noun: str, present: Tagged, etag: str) -> None:
    """Raises Aborted if an etag is given ("": none) that is not the present one."""
    if etag and etag != present.etag:
        raise Aborted(
            "ETAG_MISMATCH", f"{noun} {present.id} has changed", metadata={"etag": present.etag}
        )
