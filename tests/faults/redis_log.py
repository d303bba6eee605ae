"""What a server's log, in JSON, says of its dealings with Redis."""

import json
from bisect import bisect_right
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

AWAY = "redis is away, PostgreSQL answers alone"
BACK = "redis is in use"


class RedisLog:
    """All lives of one server."""

    def __init__(self, log: Path, starts: list[float]) -> None:
        """`starts`: when each life began; Redis is not in use at first."""
        self._states = [(start, False) for start in starts]
        self._states += [(at, event == BACK) for at, event in _events(log)]
        self._states.sort()
        self._times = [at for at, _ in self._states]

    def lost_touch(self, began: float, ended: float) -> bool:
        """Whether Redis was out of reach, or not yet trusted, at some time between the two."""
        before = max(bisect_right(self._times, began) - 1, 0)
        during = self._states[before : bisect_right(self._times, ended)]
        return not all(in_use for _, in_use in during)


def _events(log: Path) -> Iterator[tuple[float, str]]:
    for text in log.read_text(errors="replace").splitlines():
        if text.startswith("{") and text.endswith("}"):  # a killed server's last may be torn
            line = json.loads(text)
            if line.get("event") in {AWAY, BACK}:
                yield datetime.fromisoformat(line["timestamp"]).timestamp(), line["event"]
