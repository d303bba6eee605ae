"""What stands in Redis is believed only if this service wrote it, under that very key.

Redis may be shared, and its content moved, cut or written by others. So all that is stored begins
with a keyed hash of its key and itself; the key of the hash is in the database alone. It says
nothing of age: that is what times to live and invalidations are for.
"""

from hashlib import blake2b

_MARK = b"S"
_DIGEST = 16
LENGTH = len(_MARK) + _DIGEST
"""Bytes before what was stored."""


class Seal:
    """Makes and looks at seals: 2 µs for a small value, 1 ns more for each byte."""

    def __init__(self, key: bytes) -> None:
        """The key: at most 64 bytes."""
        self._keyed = blake2b(key=key, digest_size=_DIGEST)

    def sealed(self, key: str, content: bytes) -> bytes:
        """What to store under the key."""
        return b"".join((_MARK, self._digest(key, content), content))

    def fits(self, key: str, held: bytes) -> bool:
        """Whether what stands under the key was made by `sealed`, for this key."""
        digest = held[len(_MARK) : LENGTH]
        # Not in constant time: who could measure it could write to Redis, and sees no answer.
        return held.startswith(_MARK) and digest == self._digest(key, memoryview(held)[LENGTH:])

    def _digest(self, key: str, content: bytes | memoryview) -> bytes:
        digest = self._keyed.copy()
        digest.update(b"%b\0" % key.encode())  # no key has a U+0000
        digest.update(content)
        return digest.digest()
