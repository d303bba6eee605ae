"""One server process: started or adopted, started again whenever it dies, stopped on exit.

The process inherits a locked file, so the lock says exactly as long as any part of the server lives
that it does, whoever started it and however that one ended; the file holds the process id.
"""

import asyncio
import fcntl
import os
import re
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from signal import Signals
from time import monotonic
from typing import BinaryIO

import structlog

# The caller's PGPORT, PGOPTIONS or LC_ALL must not reach a server.
ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C"}

_POLL_START, _POLL_START_MAX = 0.01, 0.5
_POLL_LIFE = 0.1
_SILENCE_LIMIT = 15.0
"""Seconds without any answer after which a starting server is given up."""
_BACKOFF_FIRST, _BACKOFF_MAX = 0.1, 10.0
_STEADY_AFTER = 30.0
"""A server that lived for so many seconds is restarted without an inherited delay."""
_LOG_LIMIT = 16 * 2**20
"""Bytes of a log file above which a start puts it aside."""
_GRAVE = re.compile(
    # What probes hear of a server that is starting, or of its first start, is no reason.
    r"(?:PANIC|FATAL|error): *(?! |the database system is |database \S+ does not exist)(?P<said>.*)"
)
_MORE = re.compile(r"(?:DETAIL|HINT): +(?P<said>.*)")

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class EmbeddedServerError(RuntimeError):
    """An embedded server cannot run; the message is one line for people and names the place."""


@dataclass(kw_only=True)
class Daemon:
    """How to run, ask and stop one server."""

    name: str
    command: Sequence[str]
    room: Path
    """Its own directory, which only we may enter."""
    log_file: Path
    probe: Callable[[], Awaitable[bool]]
    """True: it serves; False: it answers, but is still starting; OSError: no answer."""
    shutdown: Sequence[tuple[Signals, float]]
    """Signals in the order to try, each with the seconds that it may take."""
    prepare: Callable[[], None] = lambda: None
    """Clears what a dead predecessor left in the way."""
    _child: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _log_start: int = field(default=0, init=False)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve from entry to exit, with the gaps that a restart takes.

        Raises:
            EmbeddedServerError: it did not start.
        """
        try:
            await self._start()
            supervisor = asyncio.create_task(self._supervise(), name=f"supervise {self.name}")
            try:
                yield
            finally:
                supervisor.cancel()
                await asyncio.wait([supervisor])
        finally:
            await self._stop()

    async def _supervise(self) -> None:
        delay = _BACKOFF_FIRST
        while True:
            since = monotonic()
            while self._alive():  # noqa: ASYNC110 - another process sets no event
                await asyncio.sleep(_POLL_LIFE)
            if monotonic() - since > _STEADY_AFTER:
                delay = _BACKOFF_FIRST
            _log.error("embedded server is down", server=self.name, restart_in_seconds=delay)
            await asyncio.sleep(delay)
            delay = min(2 * delay, _BACKOFF_MAX)
            try:
                await self._start()
            except EmbeddedServerError as error:
                _log.warning("embedded server did not start", server=self.name, reason=str(error))
            except Exception:  # noqa: BLE001 - whatever hinders one start must not end supervision
                _log.exception("embedded server did not start", server=self.name)

    async def _start(self) -> None:
        if self._child is None and self._locked():
            if await self._ready():
                _log.info("embedded server adopted", server=self.name)
                return
            await self._stop()
        await self._gone(5)  # children may outlive a killed server for a moment
        since = monotonic()
        self._spawn()
        if not await self._ready():
            await self._stop()
            raise EmbeddedServerError(
                f"embedded {self.name} did not start in {self.room}: {self._complaint()}"
            )
        _log.info(
            "embedded server started", server=self.name, seconds=round(monotonic() - since, 3)
        )

    def _spawn(self) -> None:
        lock = self._lock()
        if lock is None:
            raise EmbeddedServerError(f"an earlier {self.name} is still ending in {self.room}")
        with lock:
            self.prepare()
            if self.log_file.exists() and self.log_file.stat().st_size > _LOG_LIMIT:
                self.log_file.replace(f"{self.log_file}.1")
            with self.log_file.open("ab") as log:
                self._log_start = log.tell()
                lock.truncate(0)
                self._child = subprocess.Popen(  # noqa: S603 - our own command, no shell
                    self.command,
                    cwd="/",
                    env=ENVIRONMENT,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,  # Ctrl-C in a terminal is for us alone
                    pass_fds=[lock.fileno()],
                )
                lock.write(str(self._child.pid).encode())

    async def _ready(self) -> bool:
        """Wait until it serves; false once it died or was silent for too long."""
        heard, pause = monotonic(), _POLL_START
        while self._alive() and monotonic() - heard < _SILENCE_LIMIT:
            with suppress(OSError):
                if await self.probe():
                    return True
                heard = monotonic()
                pause = min(2 * pause, _POLL_START_MAX)  # recovery may last; each probe is logged
            await asyncio.sleep(pause)
        return False

    async def _stop(self) -> None:
        for number, seconds in self.shutdown:
            if not self._locked():
                break
            self._signal(number)
            await self._gone(seconds)
        if self._child is not None:
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(timeout=1)  # it has closed its files, so this is immediate

    async def _gone(self, seconds: float) -> None:
        end = monotonic() + seconds
        while self._locked() and monotonic() < end:  # noqa: ASYNC110 - as above
            await asyncio.sleep(_POLL_START)

    def _signal(self, number: Signals) -> None:
        if self._child is not None:
            self._child.send_signal(number)
        elif pid := self._adopted_pid():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _alive(self) -> bool:
        if self._child is not None:
            return self._child.poll() is None
        # The lock alone may be held by a child of a dead server, the id alone be another process's.
        return self._locked() and exists(self._adopted_pid())

    def _adopted_pid(self) -> int | None:
        text = (self.room / "lock").read_text()
        return int(text) if text else None

    def _locked(self) -> bool:
        lock = self._lock()
        if lock is None:
            return True
        lock.close()
        return False

    def _lock(self) -> BinaryIO | None:
        lock = (self.room / "lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return None
        return lock

    def _complaint(self) -> str:
        with self.log_file.open("rb") as log:
            log.seek(self._log_start)
            return complaint(log.read().decode(errors="replace"))


def complaint(output: str) -> str:
    """What a failed server's output says of what was wrong, in a line: what came first of it."""
    lines = output.strip().splitlines() or ["it said nothing"]
    for number, line in enumerate(lines):
        if grave := _GRAVE.search(line):
            more = takewhile(bool, map(_MORE.search, lines[number + 1 :]))
            return ". ".join([grave["said"], *(found["said"] for found in more if found)])
    return lines[-1]


def exists(pid: int | None) -> bool:
    """Whether there is such a process, be it a zombie.

    One that has not been given an id yet was started this moment.
    """
    if pid is None:
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
