"""What comes from Redis is believed only if this service wrote it, under that very key.

Redis may be shared, and its content moved, cut or written by others. So all that is stored, and all
that is published, begins with a keyed hash of its key or channel and itself; the key of the hash is
in the database alone. It says nothing of age: that is what times to live and invalidations are for,
and what a message tells twice is passed over.
"""

from hashlib import blake2b

_MARK = b"S"
_DIGEST = 16
LENGTH = len(_MARK) + _DIGEST
"""Bytes before what was stored or published."""


class Seal:
    """Makes and looks at seals: 2 µs for a small value, 1 ns more for each byte."""

    def __init__(self, secret: bytes) -> None:
        """The secret: at most 64 bytes."""
        self.move_to(secret)

    def move_to(self, secret: bytes) -> None:
        """All seals from now on are made with this secret."""
        self._keyed = blake2b(key=secret, digest_size=_DIGEST)

    def sealed(self, key: str, content: bytes) -> bytes:
        """What to store under the key, or to publish on the channel of that name."""
        return b"".join((_MARK, self._digest(key, content), content))

    def fits(self, key: str, held: bytes) -> bool:
        """Whether what stands there, or was heard there, was made by `sealed`, for this key."""
        digest = held[len(_MARK) : LENGTH]
        # Not in constant time: who could measure it could write to Redis, and sees no answer.
        return held.startswith(_MARK) and digest == self._digest(key, memoryview(held)[LENGTH:])

    def _digest(self, key: str, content: bytes | memoryview) -> bytes:
        digest = self._keyed.copy()
        digest.update(b"%b\0" % key.encode())  # no key has a U+0000
        digest.update(content)
        return digest.digest()
