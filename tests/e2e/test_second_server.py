"""What cannot be served is said in one line, with a non-zero exit."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import BIN, Process


def serve(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / "vwed-grpc", "serve", *options],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    said = [line for line in done.stderr.splitlines() if line]
    assert done.returncode != 0
    assert len(said) == 1, done.stderr
    assert all(word in said[0] for word in words), said[0]


def test_a_second_server_says_so(server: Process, tmp_path: Path) -> None:
    refused(
        serve("--listen", server.address, "--data-dir", str(tmp_path / "other")), server.address
    )
    refused(
        serve("--listen", "127.0.0.1:0", "--data-dir", str(server.data_dir)),
        str(server.data_dir),
        "in use",
    )


def test_what_cannot_be_served(tmp_path: Path) -> None:
    data = ("--data-dir", str(tmp_path))
    refused(serve("--listen", "0.0.0.0:0", *data), "--insecure")
    refused(
        serve("--listen", "127.0.0.1:0", "--database-url", "postgresql://u:secret@127.0.0.1:1/x",
              "--redis-url", "none"),
        "database",
    )  # fmt: skip


@pytest.mark.parametrize("option", ["--no-such-option"])
def test_a_wrong_option_is_no_traceback(option: str) -> None:
    done = serve(option)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
