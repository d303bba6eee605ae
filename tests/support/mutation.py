"""Requests and metadata that are nearly good: what a good one becomes in a bad line."""

from random import Random
from typing import Any

from tests.support.tokens import bearer, token

_LENGTHS = (0, 1, 0x7F, 0x80, 0xFF)


def mutated(random: Random, raw: bytes, others: list[bytes]) -> bytes:
    """A few of its bytes are others, more, or fewer."""
    data = bytearray(raw)
    for _ in range(random.choice((0, 1, 1, 1, 2, 3, 8))):
        at = random.randint(0, len(data))
        match random.randrange(7):
            case 0 if at < len(data):
                data[at] ^= 1 << random.randrange(8)
            case 1 if at < len(data):
                data[at] = random.choice(_LENGTHS)
            case 2:
                del data[at : at + random.randint(1, 8)]
            case 3:
                data[at:at] = random.randbytes(random.randint(1, 8))
            case 4:
                del data[at:]
            case 5:
                data[at:at] = data[: random.randint(0, 64)]
            case 6:
                other = random.choice(others)
                begin = random.randint(0, len(other))
                data[at:at] = other[begin : begin + random.randint(1, 64)]
    return bytes(data)


def metadata(random: Random, tenant: str, good: str) -> list[tuple[str, Any]]:
    """Mostly good."""
    if random.random() < 0.6:
        return [("x-vwed-tenant", tenant), bearer(good)]
    found: list[tuple[str, Any]] = [
        (
            "x-vwed-tenant",
            random.choice((tenant, tenant, "*", "", "é".encode().hex(), tenant + "x")),
        ),
        _authorization(random, good),
    ]
    found += [
        (key, random.choice(("", "strong", "x" * 200, _text(random))))
        for key in ("x-vwed-actor", "x-request-id", "x-vwed-consistency")
        if random.random() < 0.3
    ]
    if random.random() < 0.3:
        found.append(("x-vwed-actor-bin", random.randbytes(random.randint(0, 40))))
    if random.random() < 0.1:
        found.append(random.choice(found))
    random.shuffle(found)
    return found


def _authorization(random: Random, good: str) -> tuple[str, str]:
    at = random.randrange(len(good))
    header, claims, signature = good.split(".")
    return "authorization", random.choice(
        (
            f"Bearer {good}",
            f"bearer  {good} ",
            f"Bearer {good[:at]}",
            f"Bearer {good[:at]}{chr(random.randint(0x20, 0x7E))}{good[at + 1 :]}",
            f"Bearer {claims}.{header}.{signature}",
            f"Bearer {header}..{signature}",
            f"Bearer {token(tenants=['t-other'])}",
            f"Bearer {token('cache:read')}",
            f"Bearer {'.' * random.randint(0, 2_000)}",
            f"Basic {good}",
            _text(random),
        )
    )


def _text(random: Random) -> str:
    return "".join(chr(random.randint(0x20, 0x7E)) for _ in range(random.randint(0, 40)))
