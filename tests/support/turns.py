"""How long the event loop turns, in CPU: a busy machine does not add to that."""

import gc
import time
from asyncio.base_events import BaseEventLoop
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest


@dataclass
class Turns:
    longest: float = 0.0
    """Seconds of CPU of the loop's thread in one turn."""


@contextmanager
def measured_turns() -> Iterator[Turns]:
    """The turns of this thread's loop while entered, without those of the garbage collector."""
    turns = Turns()
    turn = BaseEventLoop._run_once  # type: ignore[attr-defined]  # private, but all there is

    def run_once(loop: BaseEventLoop) -> None:
        began = time.thread_time()
        turn(loop)
        turns.longest = max(turns.longest, time.thread_time() - began)

    gc.collect()
    gc.disable()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(BaseEventLoop, "_run_once", run_once)
        try:
            yield turns
        finally:
            gc.enable()
