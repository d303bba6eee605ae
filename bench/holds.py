"""How long the server's event loop was held, by the histogram that the server itself keeps."""

import urllib.request
from dataclasses import dataclass
from math import inf

_BUCKET = 'vwed_loop_lag_seconds_bucket{le="'


@dataclass(frozen=True)
class Holds:
    """Timers, by how late they went off at the most (seconds)."""

    within: dict[float, int]

    def since(self, earlier: "Holds") -> "Holds":
        return Holds({bound: n - earlier.within[bound] for bound, n in self.within.items()})

    def share(self, quantile: float) -> float:
        """Milliseconds that so many of the timers were not later than, at most the last bound."""
        looks = max(self.within.values())
        longest = max(bound for bound in self.within if bound != inf)
        found = (bound for bound, n in sorted(self.within.items()) if n >= quantile * looks)
        return 1e3 * min(next(found), longest)


def holds(metrics: str) -> Holds:
    """So far; `metrics` is where the server shows them."""
    with urllib.request.urlopen(f"http://{metrics}/metrics", timeout=10) as page:
        lines = page.read().decode().splitlines()
    found = (line.removeprefix(_BUCKET).split('"} ') for line in lines if line.startswith(_BUCKET))
    return Holds({float(bound): int(float(n)) for bound, n in found})


def markdown(by_group: dict[str, Holds]) -> str:
    lines = [
        "| while | half within | 99 % within | the longest within |",
        "| --- | ---: | ---: | ---: |",
    ]
    for group, found in by_group.items():
        cells = (f"{found.share(q):g} ms" for q in (0.5, 0.99, 1.0))
        lines.append(f"| {group} | {' | '.join(cells)} |")
    return "\n".join(lines)
