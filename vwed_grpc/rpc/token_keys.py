"""The keys that tokens are verified with: each is good for one algorithm, which its kind decides.

So a token's header cannot choose: a public key is never taken for the secret of an HMAC.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

_MIN_SECRET_BYTES = 32
_MIN_RSA_BITS = 2048


class BadKeysError(ValueError):
    """Why a file of keys cannot be used; its text shows nothing of the keys."""


class _OtherKindError(BadKeysError):
    """A key that may be good for others."""


@dataclass(frozen=True, slots=True)
class Key:
    key_id: str | None
    algorithm: str
    key: Any
    """What PyJWT takes."""

    def __repr__(self) -> str:
        return f"Key({self.key_id!r}, {self.algorithm})"


def read_keys(path: Path) -> tuple[Key, ...]:
    """The keys in a file: a JWK Set, one JWK, or a public key in PEM.

    What is neither is not taken for the secret of an HMAC: it might be a public key in a third
    form, which everybody has. Of a set, keys of kinds that are not taken are passed over.

    Raises BadKeysError.
    """
    try:
        raw = path.read_bytes()
    except OSError as exc:
        raise BadKeysError(f"{path} cannot be read: {exc.strerror}") from exc
    try:
        return _parse(raw.strip())
    except BadKeysError as exc:
        raise BadKeysError(f"{path}: {exc}") from exc.__cause__


def _parse(raw: bytes) -> tuple[Key, ...]:
    if b"-----BEGIN" in raw:
        try:
            public = load_pem_public_key(raw)
        except ValueError as exc:
            raise BadKeysError("is PEM, but not of a public key") from exc
        return (Key(None, _algorithm(public), public),)
    try:
        found = json.loads(raw)
    except ValueError as exc:
        raise BadKeysError("is neither JSON nor PEM") from exc
    jwks = found.get("keys", [found]) if isinstance(found, dict) else None
    if not (isinstance(jwks, list) and all(isinstance(jwk, dict) for jwk in jwks)):
        raise BadKeysError("is no JWK Set")
    keys = list[Key]()
    other = _OtherKindError("has no key for signatures")
    for jwk in jwks:
        if jwk.get("use", "sig") == "sig":
            try:
                keys.append(_of_jwk(jwk))
            except _OtherKindError as exc:
                other = exc
    if not keys:
        raise other
    return tuple(keys)


def _of_jwk(jwk: dict[str, Any]) -> Key:
    key_id = jwk.get("kid")
    if "d" in jwk:
        raise BadKeysError(f"key {key_id!r} is a private one: only its issuer may have it")
    try:
        # Without `alg`, so that it is our rule alone that decides.
        key = jwt.PyJWK({name: value for name, value in jwk.items() if name != "alg"}).key
    except (jwt.PyJWTError, ValueError, TypeError) as exc:
        raise _OtherKindError(f"key {key_id!r} is no key that is known here") from exc
    algorithm = "HS256" if isinstance(key, bytes) else _algorithm(key)
    if isinstance(key, bytes) and len(key) < _MIN_SECRET_BYTES:
        raise BadKeysError(f"a secret must have at least {_MIN_SECRET_BYTES} bytes")
    if jwk.get("alg", algorithm) != algorithm:
        raise _OtherKindError(f"key {key_id!r} is for {jwk['alg']}, which is not taken")
    return Key(None if key_id is None else str(key_id), algorithm, key)


def _algorithm(key: object) -> str:
    match key:
        case RSAPublicKey() if key.key_size >= _MIN_RSA_BITS:
            return "RS256"
        case EllipticCurvePublicKey() if isinstance(key.curve, SECP256R1):
            return "ES256"
        case Ed25519PublicKey():
            return "EdDSA"
    raise _OtherKindError("a public key must be RSA of 2048 bits or more, P-256 or Ed25519")
