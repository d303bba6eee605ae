"""Bearer tokens (JWT), and what each says of who calls."""

import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
import structlog

from vwed_grpc.domain.errors import Unauthenticated
from vwed_grpc.rpc.call import is_actor
from vwed_grpc.rpc.expiry import expired
from vwed_grpc.rpc.token_keys import Key, read_keys

TENANTS_CLAIM = "vwed_tenants"
ALL_TENANTS = "*"
LEEWAY_SECONDS = 10.0
"""That clocks may differ."""
_REMEMBERED = 10_000

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Identity:
    """Who calls, and what the token lets them do."""

    subject: str
    tenants: frozenset[str]
    scopes: frozenset[str]
    ends: float
    """When the token is over, in seconds since 1970, with the leeway."""

    def has_tenant(self, tenant: str) -> bool:
        return tenant in self.tenants or ALL_TENANTS in self.tenants


@dataclass(slots=True)
class _Verified:
    """Keys, and what they have verified."""

    keys: Sequence[Key]
    remembered: OrderedDict[str, Identity] = field(default_factory=OrderedDict)
    """By what most callers send; other spellings of it have no place of their own."""


class Tokens:
    """Verifies tokens by the keys of a file, and remembers those that were good.

    To verify takes 35 to 190 µs, to remember a half.
    """

    def __init__(self, keys_file: Path, *, audience: str, issuer: str | None) -> None:
        """Reads the keys. Raises BadKeysError."""
        self.keys_file = keys_file
        self._audience = audience
        self._issuer = issuer
        self._verified = _Verified(read_keys(keys_file))

    def read(self) -> None:
        """Reads the keys anew; tokens of those that are gone are no longer good.

        Raises BadKeysError; the keys stay what they were then.
        """
        # In one step: this may be another thread, and what the old keys verified must be gone.
        self._verified = _Verified(read_keys(self.keys_file))

    def identity(self, authorization: str) -> Identity:
        """Of who sends this as metadata `authorization`.

        Raises Unauthenticated `TOKEN_INVALID` or `TOKEN_EXPIRED`.
        """
        found = self._verified.remembered.get(authorization)  # as it came: nothing is parsed
        if found is None:
            found = self._look_up(_token(authorization), self._verified)
        if time.time() >= found.ends:
            raise expired()
        return found

    def _look_up(self, token: str, verified: _Verified) -> Identity:
        usual = f"Bearer {token}"
        found = verified.remembered.get(usual)
        if found is None:
            found = verified.remembered[usual] = self._verify(token, verified.keys)
            if len(verified.remembered) > _REMEMBERED:
                verified.remembered.popitem(last=False)
        return found

    def _verify(self, token: str, keys: Sequence[Key]) -> Identity:
        try:
            header = jwt.get_unverified_header(token)
            claims = self._claims(token, header, keys)
            return _identity(claims)
        except jwt.ExpiredSignatureError:
            raise expired() from None
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as exc:
            # Its kind alone: its text may hold parts of the token, and causes are logged.
            log.debug("token refused", why=type(exc).__name__)
            raise Unauthenticated("TOKEN_INVALID", "the token is not valid here") from None

    def _claims(self, token: str, header: dict[str, Any], keys: Sequence[Key]) -> dict[str, Any]:
        """Raises what PyJWT does."""
        key_id, algorithm = header.get("kid"), header.get("alg")
        fitting = [key for key in keys if key.algorithm == algorithm]
        named = [key for key in fitting if key.key_id == key_id]
        failure: jwt.PyJWTError = jwt.InvalidKeyError("no such key")
        for key in named or [key for key in fitting if key_id is None or key.key_id is None]:
            try:
                return jwt.decode(
                    token,
                    key.key,
                    algorithms=[key.algorithm],
                    audience=self._audience,
                    issuer=self._issuer,
                    leeway=LEEWAY_SECONDS,
                    options={"require": ["exp", "sub"]},
                )
            except jwt.InvalidSignatureError as exc:
                failure = exc
        raise failure


def _token(authorization: str) -> str:
    """Raises Unauthenticated."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthenticated("TOKEN_INVALID", "the token must be a bearer token")
    return token.strip()


def _identity(claims: dict[str, Any]) -> Identity:
    """Raises ValueError or TypeError if a claim is not what it should be."""
    subject = claims["sub"]
    if not (subject and is_actor(subject)):
        raise ValueError("the subject can be nobody's name")
    return Identity(
        subject=subject,
        tenants=_words(claims.get(TENANTS_CLAIM, [])),
        scopes=_words(claims.get("scope", [])),
        ends=float(claims["exp"]) + LEEWAY_SECONDS,
    )


def _words(claim: object) -> frozenset[str]:
    """A list of texts, or one text with spaces between its words (RFC 8693)."""
    words = claim.split(" ") if isinstance(claim, str) else claim
    if not (isinstance(words, list) and all(isinstance(word, str) for word in words)):
        raise TypeError("a claim is no list of texts")
    return frozenset(words)
