"""A server that is told to stop while it starts ends at once, whatever it waits for."""

import asyncio
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.process import BIN, ENVIRONMENT, Process
from tests.support.waiting import PATIENCE, until_true

AWAY = "postgresql://vwed:secret@127.0.0.1:1/vwed"


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_while_it_waits_for_postgresql(tmp_path: Path, workers: str) -> None:
    given = ("--database-url", AWAY, "--redis-url", "none", "--start-timeout", "3600")
    await starts_and_stops(tmp_path, *given, "--workers", workers, at="waiting for PostgreSQL")


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_while_what_is_embedded_starts(tmp_path: Path, workers: str) -> None:
    given = ("--data-dir", str(tmp_path / "data"), "--workers", workers)
    await starts_and_stops(tmp_path, *given, at="embedded server started")
    assert not Process(tmp_path / "data").embedded()


async def starts_and_stops(tmp_path: Path, *options: str, at: str) -> None:
    """Tells it to stop once its log says `at`."""
    log = tmp_path / "log"
    process = start(log, ("--listen", "127.0.0.1:0", *options))
    try:
        await until_true(lambda: at in log.read_text())
        process.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(process.wait, 2 * PATIENCE)
    finally:
        process.kill()
        process.wait()
    said = log.read_text()
    assert code == 0, said
    assert "stopped" in said.splitlines()[-1]
    assert "Traceback" not in said
    assert "listening" not in said


def start(log: Path, options: Sequence[str]) -> "subprocess.Popen[bytes]":
    with log.open("wb") as sink:
        return subprocess.Popen(
            [BIN / "vwed-grpc", "serve", *options],
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
        )
