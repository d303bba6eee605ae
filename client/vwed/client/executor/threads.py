"""Code that blocks runs in a thread, and this is its way to the event loop and back."""

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import Any, TypeVar

from vwed.client.executor.stopping import RunStopped, StopReason

T = TypeVar("T")


class ThreadBridge:
    """Makes the calls of one run's thread in the event loop, which waits for it meanwhile."""

    def __init__(self, stop_reason: Callable[[], StopReason | None]) -> None:
        self._stop_reason = stop_reason
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._waiting: set[concurrent.futures.Future[Any]] = set()
        self._is_to_stop = False

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` answers in the loop. Raises RunStopped, once, when the run is to stop."""
        with self._lock:
            if self._is_to_stop:
                work.close()
                raise self._stopped()
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
            self._waiting.add(future)
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise self._stopped() from None
        finally:
            self._waiting.discard(future)

    def call_last(self, work: Coroutine[Any, Any, T]) -> T:
        """The same for what is to be said although the run is to stop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _stopped(self) -> RunStopped:
        self._is_to_stop = False
        return RunStopped(self._stop_reason())

    def tell(self, work: Callable[[], None]) -> None:
        """Does it in the loop, soon, before what is called later."""
        self._loop.call_soon_threadsafe(work)

    def stop(self) -> None:
        """For the loop: cancels what the thread waits for, or else what it calls next."""
        with self._lock:
            self._is_to_stop = True
            waiting = [*self._waiting]
        for future in waiting:
            future.cancel()


async def in_thread(bridge: ThreadBridge, code: Callable[[], T]) -> T:
    """What `code` returns, in a thread of its own; when cancelled, once it has stopped."""
    outcome: concurrent.futures.Future[T] = concurrent.futures.Future()
    context = copy_context()

    def body() -> None:
        try:
            outcome.set_result(context.run(code))
        except BaseException as exc:  # noqa: BLE001 - the loop has it
            outcome.set_exception(exc)

    threading.Thread(target=body, daemon=True).start()
    ended = asyncio.wrap_future(outcome)
    while True:
        try:
            return await asyncio.shield(ended)
        except asyncio.CancelledError:
            if ended.done():
                raise
            bridge.stop()
        except RunStopped as exc:
            raise asyncio.CancelledError(*exc.args) from None
