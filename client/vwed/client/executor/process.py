"""What signals ask of this process."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_ASK_TO_STOP = ("SIGTERM", "SIGINT", "SIGBREAK")
"""The last one is Windows' own."""


@contextmanager
def stopping_on_signals(stop: Callable[[], Any]) -> Iterator[None]:
    """Calls `stop` at the first signal that asks for it; a second one ends the process at once.

    Outside of the main thread signals are somebody else's, and left alone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in _ASK_TO_STOP if hasattr(signal, name)]

    def first(_number: int, _frame: Any) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)
        stop()

    before = {number: signal.signal(number, first) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
