"""What never changes may stay in the process."""

from collections import OrderedDict
from collections.abc import Callable

_ENTRY = 200
"""Bytes that an entry costs beside its key and value, about."""


class LocalVersions:
    """Serialized versions; those not asked for lately make room for new ones.

    Only for those: nothing here is ever invalidated.
    """

    def __init__(self, max_bytes: int, believed: Callable[[], bool] = lambda: True) -> None:
        """While `believed` says no, the versions may be of a database that is no longer."""
        self._believed = believed
        self._max_bytes = max_bytes
        self._bytes = 0
        self._entries: OrderedDict[str, bytes] = OrderedDict()

    def get(self, key: str) -> bytes | None:
        """The version under this key, if it is still here."""
        value = self._entries.get(key) if self._believed() else None
        if value is not None:
            self._entries.move_to_end(key)
        return value

    def put(self, key: str, value: bytes) -> None:
        """Keep a version, at the cost of those that were not asked for lately."""
        cost = _cost(key, value)
        if key in self._entries or cost > self._max_bytes:
            return
        self._entries[key] = value
        self._bytes += cost
        while self._bytes > self._max_bytes:
            self._bytes -= _cost(*self._entries.popitem(last=False))


def _cost(key: str, value: bytes) -> int:
    return len(key) + len(value) + _ENTRY
