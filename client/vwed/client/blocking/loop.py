import asyncio
import os
import sys
from collections.abc import Coroutine
from concurrent.futures import CancelledError, wait
from threading import Lock, Thread, get_ident
from typing import Any, TypeVar

T = TypeVar("T")

_INTERRUPTIBLE_SECONDS = 1.0
"""On Windows a thread hears of Ctrl-C when its wait has ended, elsewhere at once."""


class BackgroundLoop:
    """An event loop in a thread of its own, a daemon, so that the process can end without it."""

    def __init__(self) -> None:
        self._process = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(_log_but_spurious_wake_ups)
        self._thread = Thread(target=self._loop.run_forever, name="vwed-client", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """What the coroutine returns or raises; an interrupt (Ctrl-C) cancels it.

        Raises:
            RuntimeError: its client was closed, or see `unreachable`.
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
        try:
            return future.result()
        except CancelledError:
            raise RuntimeError("the client was closed") from None

    def unreachable(self) -> str:
        """Why the caller cannot wait for the loop; empty if it can."""
        if self._process != os.getpid():
            return "the client was used before this process was forked, which gRPC does not survive"
        if self._thread.ident == get_ident():
            return "what a client calls (a function for its token) cannot wait for a client"
        return "Python is shutting down" if sys.is_finalizing() else ""


_lock = Lock()
_shared: BackgroundLoop | None = None


def background_loop() -> BackgroundLoop:
    """The one that all clients of a process share: gRPC wakes every loop for each answer."""
    global _shared  # noqa: PLW0603 - it belongs to the process, as gRPC's own threads do
    with _lock:
        _shared = _shared or BackgroundLoop()
        return _shared


def _log_but_spurious_wake_ups(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # Of several loops that older versions of gRPC wake for an answer, one gets it, and the others
    # raise this (grpc/grpc#25364).
    if not isinstance(context.get("exception"), BlockingIOError):
        loop.default_exception_handler(context)
