"""A server that tells how long its event loop turned, and how long the interpreter was held.

CPU of the loop's own thread does not grow because the machine is busy, as times by the clock do. A
call into C that does not let go of the interpreter in another thread holds the loop as well; it
shows as a gap between two looks of a third thread. Each line on standard input is answered with
what was longest since the one before, as JSON.
"""

import asyncio
import gc
import json
import sys
import threading
import time
from asyncio.base_events import BaseEventLoop
from collections import Counter
from dataclasses import asdict, dataclass, field
from types import FrameType
from typing import Any

from vwed_grpc.process import logs
from vwed_grpc.server import serving
from vwed_grpc.settings import Settings

_LOOK = 0.0003
"""Seconds between two looks at the interpreter."""
_WORTH_A_NAME = 0.002
_FRAMES = 4


@dataclass
class Longest:
    turn: float = 0.0
    """Seconds of CPU of one turn of the loop."""
    where: list[str] = field(default_factory=list)
    """What was seen in that turn most often."""
    gap: float = 0.0
    """Seconds for which no other thread got the interpreter."""


class _Watch:
    def __init__(self) -> None:
        self.longest = Longest()
        self._loop_thread = threading.get_ident()
        self._seen: list[str] = []
        self._turn: Any = BaseEventLoop._run_once  # type: ignore[attr-defined]  # noqa: SLF001 - private, but all there is

    def install(self) -> None:
        watch, turn = self, self._turn

        def run_once(loop: BaseEventLoop) -> None:
            watch._seen = []
            began = time.thread_time()
            turn(loop)
            took = time.thread_time() - began
            if took > watch.longest.turn:
                watch.longest.turn = took
                if took > _WORTH_A_NAME:
                    most = Counter(watch._seen).most_common(2)
                    watch.longest.where = [f"{n}x {where}" for where, n in most]

        BaseEventLoop._run_once = run_once  # type: ignore[attr-defined]  # noqa: SLF001 - as above
        for work in (self._look, self._answer):
            threading.Thread(target=work, daemon=True).start()

    def _look(self) -> None:
        while True:
            clock, cpu = time.perf_counter(), time.process_time()
            time.sleep(_LOOK)
            # Whatever else the machine does takes time by the clock, but no CPU of ours.
            gap = min(time.perf_counter() - clock, time.process_time() - cpu)
            self.longest.gap = max(self.longest.gap, gap)
            frame = sys._current_frames().get(self._loop_thread)  # noqa: SLF001 - public, for all its name
            self._seen.append(_names(frame))

    def _answer(self) -> None:
        for _ in sys.stdin:
            found, self.longest = self.longest, Longest()
            print(json.dumps(asdict(found)), flush=True)


def _names(frame: FrameType | None) -> str:
    names: list[str] = []
    while frame is not None and len(names) < _FRAMES:
        code = frame.f_code
        names.append(f"{code.co_filename.rpartition('/')[2]}:{frame.f_lineno} {code.co_name}")
        frame = frame.f_back
    return " < ".join(names)


async def _serve() -> None:
    async with serving(Settings()):
        gc.collect()
        gc.freeze()
        sys.setswitchinterval(0.001)  # as `serve` does
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    logs.configure("warning", json=False)  # on stderr
    _Watch().install()
    asyncio.run(_serve())
