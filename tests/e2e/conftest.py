"""A real server process with embedded stores, as a newcomer starts it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
READY_SECONDS = 60.0


class Process:
    """`vwed-grpc serve` on a port and a data directory of its own; may be killed and restarted."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.address = f"127.0.0.1:{_free_port()}"
        self.log = data_dir.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [BIN / "vwed-grpc", "serve"],
                env=os.environ | {"VWED_LISTEN": self.address, "VWED_DATA_DIR": str(self.data_dir)},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        until = time.monotonic() + READY_SECONDS
        while b"serving" not in self.log.read_bytes()[-400:]:
            assert self._process.poll() is None, self.log.read_text()
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL: nothing is said, nothing is closed; PostgreSQL stays up."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self.log.write_bytes(b"")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Asks it to stop; answers its exit code."""
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(timeout=30)

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Process]:
    process = Process(tmp_path / "data")
    process.start()
    yield process
    if not process.running():
        process.start()  # so that what a killed server left running is stopped with it
    assert process.stop() == 0


def grpcurl(address: str, method: str, body: str = "{}") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / "grpcurl", "-plaintext", "-d", body, address, method],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
