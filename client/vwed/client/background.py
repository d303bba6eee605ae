import asyncio
import os
import sys
from collections.abc import Coroutine
from concurrent.futures import wait
from threading import Lock, Thread, get_ident
from typing import Any, TypeVar

T = TypeVar("T")

_INTERRUPTIBLE_SECONDS = 1.0
"""On Windows a thread hears of Ctrl-C when its wait has ended, elsewhere at once."""


class BackgroundLoop:
    """An event loop in a thread of its own, for code that has none.

    The blocking clients of a process share one, which is never stopped: gRPC wakes every loop of a
    process for each answer. The thread is a daemon, so the process can end without it.
    """

    def __init__(self) -> None:
        self._process = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(_log_but_spurious_wake_ups)
        self._thread = Thread(target=self._loop.run_forever, name="vwed-client", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """What the coroutine returns or raises; an interrupt (Ctrl-C) cancels it.

        Raises:
            RuntimeError: see `unreachable`.
        """
        if reason := self.unreachable():
            coroutine.close()
            raise RuntimeError(reason)
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            while not future.done():
                wait([future], _INTERRUPTIBLE_SECONDS)
        except BaseException:
            future.cancel()
            raise
        return future.result()

    def unreachable(self) -> str:
        """Why nobody can wait for the loop here; empty where they can."""
        if self._process != os.getpid():
            return "gRPC does not survive a fork: connect after it, or spawn the process"
        if self._thread.ident == get_ident():
            return "a function that the client calls cannot wait for a blocking client"
        return "Python is shutting down" if sys.is_finalizing() else ""


_starting = Lock()
_shared: BackgroundLoop | None = None


def background_loop() -> BackgroundLoop:
    """The one that the process's blocking clients share."""
    global _shared  # noqa: PLW0603 - it belongs to the process, as gRPC's own threads do
    if _shared is None:
        with _starting:
            _shared = _shared or BackgroundLoop()
    return _shared


def _log_but_spurious_wake_ups(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # Of the loops that gRPC wakes, one takes the answers; the others raise this (grpc/grpc#25364).
    if not isinstance(context.get("exception"), BlockingIOError):
        loop.default_exception_handler(context)
