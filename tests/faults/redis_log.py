"""What a server's log, at level debug and in JSON, says of its dealings with Redis."""

import json
from bisect import bisect_right
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

AWAY = "redis is away, PostgreSQL answers alone"
BACK = "redis is in use"
COUNTED = "cache"


class RedisLog:
    """All lives of one server."""

    def __init__(self, log: Path, starts: list[float]) -> None:
        """`starts`: when each life began; Redis is not in use at first."""
        self._states = [(start, False) for start in starts]
        self._counters: list[tuple[float, dict[str, int]]] = []
        for at, line in _lines(log):
            if line["event"] in {AWAY, BACK}:
                self._states.append((at, line["event"] == BACK))
            elif line["event"] == COUNTED:
                self._counters.append((at, line))
        self._states.sort()
        self._times = [at for at, _ in self._states]

    def lost_touch(self, began: float, ended: float) -> bool:
        """Whether Redis was out of reach, or not yet trusted, at some time between the two."""
        before = max(bisect_right(self._times, began) - 1, 0)
        during = self._states[before : bisect_right(self._times, ended)]
        return not all(in_use for _, in_use in during)

    def counted(self, began: float, ended: float) -> tuple[int, int]:
        """Hits and reads, as far as counted within the two."""
        within = [counters for at, counters in self._counters if began <= at <= ended]
        if not within:
            return 0, 0
        first, last = within[0], within[-1]
        grown = {
            name: last[name] - first[name] for name in ("hits", "misses", "bypasses", "joined")
        }
        return grown["hits"], sum(grown.values())


def _lines(log: Path) -> Iterator[tuple[float, dict[str, Any]]]:
    for text in log.read_text(errors="replace").splitlines():
        if text.startswith("{") and text.endswith("}"):  # a killed server's last may be torn
            line = json.loads(text)
            if line.get("event") in {AWAY, BACK, COUNTED}:
                yield datetime.fromisoformat(line["timestamp"]).timestamp(), line
