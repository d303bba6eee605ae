"""Processes with a core of their own, and what they cost."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.process import family

SERVER_CORE, LOAD_CORE = 0, 1
_TICK = 1 / os.sysconf("SC_CLK_TCK")
ROOT = Path(__file__).parent.parent


class Process:
    """A process, and those it started."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def cpu(self) -> float:
        """Seconds of CPU so far."""
        return sum(_cpu(pid) for pid in family(self.pid))

    def rss(self) -> float:
        """Resident memory in MiB."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        return 0.0


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK


@contextmanager
def pinned(
    command: Sequence[str],
    log: Path,
    *,
    cores: Sequence[int] = (SERVER_CORE,),
    env: Mapping[str, str] | None = None,
    tree: Path = ROOT,
) -> Iterator[Process]:
    """Runs a command of a source tree on these cores while entered; its output goes to `log`.

    It ends with us, however we end.
    """
    on = ",".join(map(str, cores))
    with log.open("ab") as output:
        child = subprocess.Popen(
            ["setpriv", "--pdeathsig=TERM", "taskset", "-c", on, *command],
            cwd=tree,
            env={**environment(tree), **(env or {})},
            stdout=output,
            stderr=output,
        )
    try:
        yield Process(child.pid)
    finally:
        child.terminate()
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def environment(tree: Path) -> dict[str, str]:
    """Ours, with what is imported coming from a source tree."""
    return {**os.environ, "PYTHONPATH": f"{tree}:{tree / 'client'}:{tree / 'generated'}"}


def python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def wait_until(ready: Path, words: str, seconds: float = 180) -> str:
    """The first line of a log that holds `words`. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if ready.exists():
            for line in ready.read_text(errors="replace").splitlines():
                if words in line:
                    return line
        time.sleep(0.05)
    raise TimeoutError(f"{words!r} did not show in {ready}:\n{ready.read_text()[-2000:]}")


def core_busy(core: int) -> float:
    """Seconds that anybody kept a core busy so far."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name == f"cpu{core}":
            return (sum(map(int, ticks[:8])) - int(ticks[3]) - int(ticks[4])) * _TICK
    raise LookupError(f"no core {core}")


def end_with_sigterm() -> None:
    """Has SIGTERM end this process as an exception does, so that what it started ends too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
