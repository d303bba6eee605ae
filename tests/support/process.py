"""A real `vwed-grpc serve` with what it embeds: started, killed, started again, stopped."""

import fcntl
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

BIN = Path(sys.executable).parent
ENVIRONMENT = {name: value for name, value in os.environ.items() if name[:5] != "VWED_"} | {
    "PATH": f"{BIN}:{os.environ['PATH']}"
}
"""Ours, with the commands of this installation first, and without the settings of a user."""

_READY_SECONDS = 180
_STOP_SECONDS = 30
_LISTENING = re.compile(rb"listening +address=(\S+)")


class Process:
    """A server on a data directory and a free port, which it keeps when it is started again."""

    def __init__(
        self,
        data_dir: Path,
        *options: str,
        command: Path = BIN / "vwed-grpc",
        **environment: str,
    ) -> None:
        self.data_dir = data_dir
        self.log = data_dir.with_suffix(".log")
        self.address = "127.0.0.1:0"
        """`host:port`; known once it was started."""
        self._command = command
        self._options = options
        self._environment = ENVIRONMENT | environment
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it takes calls."""
        where = ("--listen", self.address, "--data-dir", str(self.data_dir))
        with self.log.open("ab") as log:
            begin = log.tell()
            self._process = subprocess.Popen(
                [self._command, "serve", *where, *self._options],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        until = time.monotonic() + _READY_SECONDS
        while not (found := _LISTENING.search(self.log.read_bytes(), begin)):
            assert self._process.poll() is None, self.log.read_text()
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.05)
        self.address = found[1].decode()

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def freeze(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        """SIGKILL: nothing is said, nothing is closed; what is embedded stays up."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def kill_embedded(self) -> None:
        """The same for PostgreSQL and Valkey, once the server is dead and restarts them no more."""
        for pid in self.embedded():
            os.kill(pid, signal.SIGKILL)

    def stop(self) -> int:
        """Asks it to stop; answers its exit code."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(_STOP_SECONDS)

    def workers(self) -> Sequence[int]:
        """The processes that serve for it, if it has workers."""
        assert self._process is not None
        return [pid for pid in children(self._process.pid) if _serves(pid)]

    def embedded(self) -> Sequence[int]:
        """The processes of PostgreSQL and Valkey that run; ask while the server does not."""
        return [pid for lock in self.data_dir.glob("*/lock") if (pid := _holder(lock))]

    def close(self) -> None:
        """Leaves no process behind; fails if the server did not end well, or was in trouble."""
        assert self._process is not None
        code = self.stop() if self.running() else self._process.returncode
        left = self.embedded()
        for pid in left:
            os.kill(pid, signal.SIGQUIT)
        assert (code == 0 and not left) or code == -signal.SIGKILL, self.log.read_text()
        assert "Traceback" not in self.log.read_text()


def _holder(lock: Path) -> int | None:
    """Whose lock it is: a server's, which inherited it and wrote its process id."""
    with lock.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(file.read())
    return None


def alive(pids: Sequence[int]) -> list[int]:
    """Those of the processes that there still are."""
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def children(pid: int) -> list[int]:
    """The processes that any of its threads started; none if it has just ended."""
    with suppress(OSError):
        lists = [*Path(f"/proc/{pid}/task").glob("*/children")]
        return [int(child) for each in lists for child in each.read_text().split()]
    return []


def family(pid: int) -> Iterator[int]:
    """The process, its children, and theirs."""
    yield pid
    for child in children(pid):
        yield from family(child)


def worker(parent: int, number: int) -> int:
    """The process that is this worker of a server. Raises ProcessLookupError: it is not there."""
    for pid in children(parent):
        with suppress(OSError):
            if f"VWED_WORKER={number}" in Path(f"/proc/{pid}/environ").read_text().split("\0"):
                return pid
    raise ProcessLookupError(f"no worker {number} of {parent}")


def _serves(pid: int) -> bool:
    try:
        return b"\0serve\0" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:  # it has just ended
        return False
