"""The test's side of a service that runs in a process of its own.

It is no part of the test's process because it must not share its event loop, which the test may
hold for long, nor its settings; and because a process of its own outlives a test that is killed for
as long as it takes to stop PostgreSQL.
"""

import asyncio
import os
import subprocess
import sys
from types import TracebackType
from typing import IO

# Not the module beside a test that happens to be called as one of ours.
_COMMAND = (sys.executable, "-P", "-m", "vwed_grpc.testing")
_STOP_SECONDS = 60.0
"""Far beyond what it takes; a service that is still there then is killed."""


class ServiceEndedError(RuntimeError):
    """The service did not start, or ended before its time; why stands on standard error."""


def server() -> "Service":
    """A service on a free port of this machine, empty, for as long as it is entered.

    `with` and `async with` give its address (`host:port`) once it takes calls, after two or three
    seconds. Data and processes are gone after it, also if this process is killed meanwhile.
    Settings of the environment (`VWED_…`) do not reach it.

    Raises:
        ServiceEndedError: on entering, it does not start; on leaving, it had ended before.
        subprocess.TimeoutExpired: on leaving, it did not stop, and was killed.
    """
    return Service()


class Service:
    """What `server` answers; may be entered again once it was left."""

    _process: subprocess.Popen[str]

    def __enter__(self) -> str:
        self._start()
        try:
            return self._address()
        except BaseException:
            self._stop()
            raise

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave()

    async def __aenter__(self) -> str:
        self._start()
        try:
            return await asyncio.to_thread(self._address)
        except BaseException:
            await asyncio.to_thread(self._stop)
            raise

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self._leave)

    def _start(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own command, no shell
            _COMMAND,
            env={name: value for name, value in os.environ.items() if name.upper()[:5] != "VWED_"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for the tests, which end it in order
        )

    def _address(self) -> str:
        said = _pipe(self._process.stdout).readline()
        if not said:
            raise ServiceEndedError("the service does not start, see what it wrote to stderr")
        return said.rstrip()

    def _leave(self) -> None:
        ended = self._process.poll()
        self._stop()
        if ended is not None:
            raise ServiceEndedError(f"the service ended by itself, with exit code {ended}")

    def _stop(self) -> None:
        _pipe(self._process.stdin).close()
        try:
            self._process.wait(_STOP_SECONDS)
        finally:
            self._process.kill()
            self._process.wait()
            _pipe(self._process.stdout).close()


def _pipe(end: IO[str] | None) -> IO[str]:
    if end is None:
        raise TypeError("the process has no such pipe")
    return end
