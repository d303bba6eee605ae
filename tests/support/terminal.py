"""`vwed-grpc` as a user calls it."""

import asyncio
import json
import os
import pty
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from click.testing import CliRunner

from tests.support.process import BIN, ENVIRONMENT
from vwed_grpc.cli.main import main

UP = "\x1b[1A"
"""How a frame moves up a line, to be drawn over the one before."""
_SIZE = {"LINES": "12", "COLUMNS": "80", "TERM": "xterm-256color"}


class Said(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def json(self) -> Any:
        return json.loads(self.out)


async def vwed(target: str, tenant: str, *words: str) -> Said:
    """In this process, without a terminal."""
    told = [*words, "--target", target, "--tenant", tenant]
    ended = await asyncio.to_thread(CliRunner().invoke, main, told)
    return Said(ended.exit_code, ended.stdout, ended.stderr)


@contextmanager
def on_a_terminal(*words: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The process, and the side of its terminal that a person looks at."""
    ours, its = pty.openpty()
    process = subprocess.Popen(
        [BIN / "vwed-grpc", *words], env=ENVIRONMENT | _SIZE, stdin=its, stdout=its, stderr=its
    )
    os.close(its)
    try:
        yield process, ours
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def all_of(terminal: int) -> str:
    """What was shown, until the process has ended."""
    shown = b""
    while True:
        try:
            some = os.read(terminal, 1 << 16)
        except OSError:  # so a terminal says its end
            break
        if not some:
            break
        shown += some
    return shown.decode()


def until_shown(terminal: int, *words: str, without: str = "nothing") -> None:
    """Returns after a frame that has all of the words. Raises OSError if the process ends first."""
    shown = b""
    while not any(
        without not in frame and all(word in frame for word in words)
        for frame in shown.decode(errors="replace").split(UP)[:-1]
    ):
        shown += os.read(terminal, 1 << 16)
