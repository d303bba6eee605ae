"""Tokens as an identity provider issues them, and the keys that the server verifies them with."""

import json
import time
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

ALL_SCOPES = (
    *("taskdefs:read", "taskdefs:write", "cache:read", "cache:write", "introspection:read"),
    *("records:read", "records:report", "records:operate", "records:write", "actor:set"),
)
SECRET = "a secret that no server may ever tell, 48 bytes."
PRIVATE: dict[str, Any] = {
    "HS256": SECRET.encode(),
    "RS256": rsa.generate_private_key(public_exponent=65_537, key_size=2_048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}
"""By algorithm."""


def jwk(algorithm: str, **members: Any) -> dict[str, Any]:
    """The key that verifies, as its `kid` the algorithm."""
    key = PRIVATE[algorithm]
    public = key if isinstance(key, bytes) else key.public_key()
    made: Any = jwt.get_algorithm_by_name(algorithm).to_jwk(public, as_dict=True)
    return {**made, "kid": algorithm, **members}


def write_keys(path: Path, *algorithms: str) -> Path:
    """A JWK Set; replaced in one go, as whoever renews it does."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps({"keys": [jwk(algorithm) for algorithm in algorithms]}))
    return new.replace(path)


def token(
    *scopes: str,
    tenants: Any = "*",
    algorithm: str = "HS256",
    key: Any = None,
    kid: str | None = "",
    lives: float = 600,
    **claims: Any,
) -> str:
    """A good one, unless told; it lives as many seconds, and the leeway of the server."""
    if kid == "":
        kid = algorithm
    given = {
        "sub": "wms",
        "aud": "vwed",
        "exp": time.time() + lives,
        "scope": " ".join(scopes or ALL_SCOPES),
        "vwed_tenants": tenants,
        **claims,
    }
    return jwt.encode(
        {name: value for name, value in given.items() if value is not None},
        key or PRIVATE[algorithm],
        algorithm=algorithm,
        headers={"kid": kid} if kid else {},
    )


def bearer(token: str) -> tuple[str, str]:
    """The metadata that carries it."""
    return "authorization", f"Bearer {token}"
