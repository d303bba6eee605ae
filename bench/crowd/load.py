"""Tenant B, or parts of it: `python -m bench.crowd.load TARGET PART...`, until stdin ends.

Says "open" once everything is under way, and in the end what came of each kind of call.
"""

import json
import sys
from dataclasses import asdict
from threading import Thread

from bench.crowd.again import Crowd
from bench.crowd.parts import PARTS
from bench.load import pump


def hold(target: str, *parts: str) -> dict[str, object]:
    crowd = Crowd()
    for part in parts:
        PARTS[part](crowd, target)
    crowd.begin()
    print("open", flush=True)
    waiting = Thread(target=sys.stdin.read, daemon=True)
    waiting.start()

    def go_on() -> bool:
        crowd.go_on()
        return not waiting.is_alive()

    pump(crowd.wires, go_on, 86_400)
    return {kind: asdict(count) for kind, count in crowd.counts.items()}


if __name__ == "__main__":
    print(json.dumps(hold(*sys.argv[1:])))
