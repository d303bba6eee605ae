"""Which tokens are good, by which keys."""

import json
import time
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from tests.support.tokens import PRIVATE, SECRET, bearer, jwk, token, write_keys
from vwed_grpc.domain.errors import Unauthenticated
from vwed_grpc.rpc import tokens
from vwed_grpc.rpc.token_keys import BadKeysError, read_keys
from vwed_grpc.rpc.tokens import LEEWAY_SECONDS, Identity, Tokens


def pem(key: Any) -> bytes:
    raw: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return raw


def verifier(path: Path, issuer: str | None = None) -> Tokens:
    return Tokens(path, audience="vwed", issuer=issuer)


def identity_of(verifier: Tokens, token: str) -> Identity:
    return verifier.identity(bearer(token)[1])


def refused(verifier: Tokens, token: str) -> str:
    with pytest.raises(Unauthenticated) as raised:
        identity_of(verifier, token)
    assert len(token) < 9 or token not in f"{raised.value!r} {raised.value.metadata}"
    return raised.value.reason


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return write_keys(tmp_path / "keys.json", *PRIVATE)


@pytest.mark.parametrize("algorithm", PRIVATE)
@pytest.mark.parametrize("named", [True, False])
def test_each_algorithm(keys: Path, algorithm: str, named: bool) -> None:
    signed = token(algorithm=algorithm, kid=algorithm if named else None, tenants=["a", "b"])
    identity = identity_of(verifier(keys), signed)
    assert identity.subject == "wms"
    assert identity.tenants == {"a", "b"}
    assert "records:read" in identity.scopes


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_a_public_key_in_pem(tmp_path: Path, algorithm: str) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(pem(PRIVATE[algorithm]))
    assert identity_of(verifier(path), token(algorithm=algorithm)).subject == "wms"
    assert refused(verifier(path), token(algorithm="HS256")) == "TOKEN_INVALID"


def forged(header: dict[str, Any], signature: bytes = b"") -> str:
    """A good token's claims under another header."""
    claims = token().split(".")[1]
    encoded = urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()
    return f"{encoded}.{claims}.{urlsafe_b64encode(signature).rstrip(b'=').decode()}"


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_a_public_key_is_no_secret(tmp_path: Path, algorithm: str) -> None:
    """What the oldest attack on JWT signs with: everybody has the public key."""
    public = pem(PRIVATE[algorithm])
    path = tmp_path / "key.pem"
    path.write_bytes(public)
    hmac = jwt.get_algorithm_by_name("HS256")
    for secret in (public, public.strip(), json.dumps(jwk(algorithm)).encode()):
        for kid in (algorithm, None):
            header = {"alg": "HS256", "typ": "JWT"} | ({"kid": kid} if kid else {})
            signed = forged(header).rpartition(".")[0]
            attack = f"{signed}.{urlsafe_b64encode(hmac.sign(signed.encode(), secret)).rstrip(b'=').decode()}"  # noqa: E501 - one token
            assert refused(verifier(path), attack) == "TOKEN_INVALID"
            assert (
                refused(verifier(write_keys(tmp_path / "set", *PRIVATE)), attack) == "TOKEN_INVALID"
            )


@pytest.mark.parametrize("algorithm", ["none", "None", "HS512", "RS512", "", None, 7, ["HS256"]])
def test_no_other_algorithm(keys: Path, algorithm: Any) -> None:
    assert refused(verifier(keys), forged({"alg": algorithm, "kid": "HS256"})) == "TOKEN_INVALID"
    assert refused(verifier(keys), forged({"alg": algorithm})) == "TOKEN_INVALID"


def test_a_key_in_the_token_is_not_looked_at(keys: Path) -> None:
    own = jwk("HS256", k=urlsafe_b64encode(b"x" * 32).decode())
    signed = jwt.encode(
        jwt.decode(token(), options={"verify_signature": False}),
        b"x" * 32,
        headers={"jwk": own, "jku": "https://attacker.test/keys", "kid": "HS256"},
    )
    assert refused(verifier(keys), signed) == "TOKEN_INVALID"


BAD_CLAIMS: dict[str, dict[str, Any]] = {
    "another audience": {"aud": "erp"},
    "no audience": {"aud": None},
    "no end": {"exp": None},
    "an end that is none": {"exp": "tomorrow"},
    "an end beyond all time": {"exp": 1e400},
    "not yet": {"nbf": time.time() + 10_000},
    "issued in the future": {"iat": time.time() + 10_000},
    "no subject": {"sub": None},
    "an empty subject": {"sub": ""},
    "a subject with a line break": {"sub": "a\nb"},
    "a subject too long": {"sub": "x" * 129},
    "a subject that is no text": {"sub": 7},
    "tenants that are no list": {"vwed_tenants": {"a": 1}},
    "tenants that are no texts": {"vwed_tenants": [1]},
    "scopes that are no list": {"scope": 7},
}


@pytest.mark.parametrize("claims", BAD_CLAIMS.values(), ids=BAD_CLAIMS)
def test_bad_claims(keys: Path, claims: dict[str, Any]) -> None:
    try:
        signed = token(**claims)
    except TypeError:  # PyJWT itself does not sign it
        claim = json.dumps({"aud": "vwed", "exp": 9e9, "sub": "wms", **claims}).encode()
        signed = jwt.PyJWS().encode(claim, PRIVATE["HS256"], headers={"kid": "HS256"})
    assert refused(verifier(keys), signed) == "TOKEN_INVALID"


@pytest.mark.parametrize(
    "sent",
    ["", ".", "..", "a.b.c", "\udcff.b.c", "x" * 8_000, "." * 8_000, "e30.e30.", "[" * 8_000],
)
def test_what_is_no_token(keys: Path, sent: str) -> None:
    assert refused(verifier(keys), sent) == "TOKEN_INVALID"


def test_the_issuer_if_it_is_told(keys: Path) -> None:
    assert identity_of(verifier(keys, "https://id.test"), token(iss="https://id.test"))
    assert refused(verifier(keys, "https://id.test"), token(iss="https://x")) == "TOKEN_INVALID"
    assert refused(verifier(keys, "https://id.test"), token()) == "TOKEN_INVALID"


def test_clocks_may_differ_a_little(keys: Path) -> None:
    assert identity_of(verifier(keys), token(lives=5 - LEEWAY_SECONDS))
    assert identity_of(verifier(keys), token(nbf=time.time() + LEEWAY_SECONDS - 5))
    assert refused(verifier(keys), token(lives=-LEEWAY_SECONDS - 1)) == "TOKEN_EXPIRED"


def test_a_token_that_is_remembered_ends_as_well(
    keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verifies, signed = verifier(keys), token(lives=100)
    assert identity_of(verifies, signed) is identity_of(verifies, signed)
    later = time.time() + 100 + LEEWAY_SECONDS
    monkeypatch.setattr(time, "time", lambda: later)
    assert refused(verifies, signed) == "TOKEN_EXPIRED"


def test_so_many_are_remembered(keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_REMEMBERED", 3)
    verifies = verifier(keys)
    for number in range(5):
        identity_of(verifies, token(sub=f"robot-{number}"))
    assert len(verifies._verified.remembered) == 3


def test_spellings_of_a_token_share_a_place(keys: Path) -> None:
    verifies, signed = verifier(keys), token()
    for spelt in (f"Bearer {signed}", f"bearer  {signed} ", f"BEARER {signed}"):
        assert verifies.identity(spelt) is identity_of(verifies, signed)
    assert len(verifies._verified.remembered) == 1


def test_renewed_keys(keys: Path) -> None:
    verifies, by_rsa, by_secret = verifier(keys), token(algorithm="RS256"), token()
    for signed in (by_rsa, by_secret):
        identity_of(verifies, signed)
    write_keys(keys, "RS256")
    verifies.read()
    assert identity_of(verifies, by_rsa)
    assert refused(verifies, by_secret) == "TOKEN_INVALID"
    keys.write_text("{")
    with pytest.raises(BadKeysError):
        verifies.read()
    assert identity_of(verifies, by_rsa)


PRIVATE_PEM = PRIVATE["ES256"].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
BAD_KEYS: dict[str, bytes] = {
    "nothing": b"",
    "a secret without more": b"hunter2" * 10,
    "a public key of ssh": PRIVATE["EdDSA"]
    .public_key()
    .public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
    "a public key in DER": PRIVATE["EdDSA"]
    .public_key()
    .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    "no JSON": b"{hunter2",
    "no keys": b'{"keys": []}',
    "keys that are no list": b'{"keys": 7}',
    "keys that are no objects": b'{"keys": [7]}',
    "none for signatures": json.dumps({"keys": [jwk("RS256", use="enc")]}).encode(),
    "of another algorithm": json.dumps(jwk("RS256", alg="HS256")).encode(),
    "of an unknown kind": b'{"kty": "XYZ"}',
    "broken": b'{"kty": "RSA", "n": "hunter2"}',
    "short in JSON": b'{"kty": "oct", "k": "aHVudGVyMg"}',
    "private": PRIVATE_PEM,
    "private in JSON": json.dumps(
        jwt.get_algorithm_by_name("ES256").to_jwk(PRIVATE["ES256"], as_dict=True)
    ).encode(),
    "a weak RSA key": pem(rsa.generate_private_key(public_exponent=65_537, key_size=1_024)),
    "another curve": pem(ec.generate_private_key(ec.SECP384R1())),
}


@pytest.mark.parametrize("raw", BAD_KEYS.values(), ids=BAD_KEYS)
def test_keys_that_are_not_taken(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "keys"
    path.write_bytes(raw)
    with pytest.raises(BadKeysError) as raised:
        read_keys(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert "hunter2" not in str(raised.value)


def test_keys_of_other_kinds_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    others = [{"kty": "XYZ"}, jwk("RS256", alg="RS512"), jwk("RS256", use="enc")]
    path.write_text(json.dumps({"keys": [*others, jwk("ES256")]}))
    (key,) = read_keys(path)
    assert key.algorithm == "ES256"
    path.write_text(json.dumps({"keys": [jwk("HS256", k="aHVudGVyMg"), jwk("ES256")]}))
    with pytest.raises(BadKeysError, match="at least 32 bytes"):
        read_keys(path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(BadKeysError, match="No such file"):
        read_keys(tmp_path / "none")


def test_a_key_shows_nothing_of_itself(tmp_path: Path) -> None:
    shown = repr(read_keys(write_keys(tmp_path / "keys", "HS256")))
    assert SECRET not in shown
    assert "HS256" in shown
