"""Opaque page tokens: where a keyset list continues.

They are bound to the tenant and the arguments of the first page.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any

from google.protobuf.message import Message

from vwed_grpc.domain.errors import InvalidArgument

Position = str | int | datetime | None
"""The last row's value of one ordering column."""

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 1_000

_VERSION = b"vwed-page-1"
"""Changes with the token's layout: tokens of an older layout are then refused."""
_DIGEST_BYTES = 12
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def page_size(requested: int) -> int:
    """Rows of a page: 0 means 50, above 1,000 is lowered to 1,000.

    Raises:
        InvalidArgument: On `page_size`, if it is negative.
    """
    if requested < 0:
        raise InvalidArgument.of("page_size", "must not be negative")
    return min(requested or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)


def request_fingerprint(tenant: str, method: str, request: Message) -> bytes:
    """What a token is bound to: the method and all of a list request but its page fields."""
    arguments = type(request)()
    arguments.CopyFrom(request)
    arguments.ClearField("page_size")
    arguments.ClearField("page_token")
    return fingerprint_of(tenant, method, arguments)


def fingerprint_of(tenant: str, method: str, arguments: Message) -> bytes:
    """What a token is bound to: whose it is, and whatever arguments it is given out for."""
    wire = arguments.SerializeToString(deterministic=True)
    whole = b"\0".join((tenant.encode(), method.encode(), wire))
    return blake2b(whole, digest_size=_DIGEST_BYTES).digest()


def encode(fingerprint: bytes, position: Sequence[Position]) -> str:
    """The token of the page after `position`; times are aware and keep their microseconds."""
    columns = [
        [(value - _EPOCH) // _MICROSECOND] if isinstance(value, datetime) else value
        for value in position
    ]
    body = json.dumps(columns, ensure_ascii=False, separators=(",", ":")).encode()
    return _text(_seal(fingerprint, body) + body)


def decode(token: str, fingerprint: bytes, kinds: Sequence[type]) -> tuple[Position, ...]:
    """The position in a token that `encode` made with the same fingerprint; times are in UTC.

    The seal has no secret, so `kinds`, the columns' types (each may also be None), are asked for:
    not even a forged token brings a value into SQL that the column does not take.

    Raises:
        InvalidArgument: On `page_token`, for every other text.
    """
    try:
        raw = urlsafe_b64decode(token + "==")
        seal, body = raw[:_DIGEST_BYTES], raw[_DIGEST_BYTES:]
        if _text(raw) == token and seal == _seal(fingerprint, body):
            return tuple(_column(*each) for each in zip(json.loads(body), kinds, strict=True))
    except (ValueError, TypeError, OverflowError, RecursionError):
        pass  # each is one more way in which a text is no token
    raise foreign_token()


def foreign_token() -> InvalidArgument:
    return InvalidArgument.of("page_token", "is not a token of this list with these arguments")


def _seal(fingerprint: bytes, body: bytes) -> bytes:
    return blake2b(fingerprint + body, digest_size=_DIGEST_BYTES, person=_VERSION).digest()


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _column(value: Any, kind: type) -> Position:
    """A JSON value as PostgreSQL takes it in a column of that type; else an error of `decode`'s."""
    match value:
        case None:
            return None
        case [int(microseconds)] if kind is datetime:
            return _EPOCH + timedelta(microseconds=microseconds)
        case str() if kind is str and "\0" not in value:
            value.encode()  # a lone surrogate is a ValueError
            return value
        case int() if type(value) is kind and -(2**63) <= value < 2**63:
            return value
    raise ValueError(value)
