"""Tenant B, or parts of it: `python -m bench.crowd.load TARGET SHARE PAUSE PART...`.

It has `SHARE` of the callers, who pause for `PAUSE` seconds after an answer, and goes on until
stdin ends. It says "open" once everything is under way, and in the end what came of each kind of
call, also if the end is that of a connection.
"""

import json
import sys
from dataclasses import asdict
from threading import Thread

from bench.crowd.again import Crowd
from bench.crowd.parts import ALL
from bench.load import pump


def hold(target: str, share: str, pause: str, *parts: str) -> None:
    crowd = Crowd(float(share), float(pause))
    for part in parts:
        ALL[part](crowd, target)
    crowd.begin()
    print("open", flush=True)
    waiting = Thread(target=sys.stdin.read, daemon=True)
    waiting.start()

    def go_on() -> bool:
        crowd.go_on()
        return not waiting.is_alive()

    try:
        pump(crowd.wires, go_on, 86_400)
    finally:
        print(json.dumps({kind: asdict(count) for kind, count in crowd.counts.items()}))


if __name__ == "__main__":
    hold(*sys.argv[1:])
