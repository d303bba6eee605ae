"""A process beside the bench, which is told what to do line by line and says what came of it."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bench.process import ROOT, python

_END_SECONDS = 60


class Companion:
    def __init__(self, name: str, process: "subprocess.Popen[str]") -> None:
        self._name = name
        self._process = process

    def tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def end(self) -> Any:
        """What came of it. Raises RuntimeError if it failed."""
        said, _ = self._process.communicate(timeout=_END_SECONDS)
        if self._process.returncode:
            raise RuntimeError(f"a {self._name} failed")
        return json.loads(said)


@contextmanager
def companion(nice: int, module: str, *arguments: str) -> Iterator[Companion]:
    """Runs it on our own core, more (below 0) or less important than others there.

    Entered once it has said its first line. It ends with us, however we end.
    Raises RuntimeError if it fails.
    """
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig=TERM", "nice", "-n", str(nice), *python(module, *arguments)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        # Where the kernel groups tasks by session, `nice` compares within one; this compares them.
        with suppress(OSError):
            Path(f"/proc/{process.pid}/autogroup").write_text(str(nice))
        try:
            assert process.stdout is not None
            if not process.stdout.readline():
                raise RuntimeError(f"{module} failed")
            yield Companion(module, process)
        finally:
            if process.poll() is None:
                process.kill()
