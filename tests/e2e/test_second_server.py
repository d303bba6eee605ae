"""What cannot be served is said in one line, soon, and with a non-zero exit."""

import asyncio
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.process import BIN, ENVIRONMENT, Process
from tests.support.waiting import promptly


def test_the_port_is_taken(shared: Process, tmp_path: Path) -> None:
    said = refused("--listen", shared.address, "--data-dir", str(tmp_path / "other"))
    assert said == f"Error: cannot listen on {shared.address}: Address already in use"
    assert not (tmp_path / "other").exists()


def test_the_data_directory_is_taken(shared: Process) -> None:
    said = refused("--listen", "127.0.0.1:0", "--data-dir", str(shared.data_dir))
    assert said.startswith(f"Error: data directory {shared.data_dir} is in use by process ")


def test_beyond_loopback_only_if_told(tmp_path: Path) -> None:
    assert "--insecure" in refused("--listen", "0.0.0.0:0", "--data-dir", str(tmp_path))


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Takes connections, and then says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize("port", [1, "silent_port"])
async def test_the_database_is_out_of_reach(
    port: int | str, request: pytest.FixtureRequest
) -> None:
    port = request.getfixturevalue(port) if isinstance(port, str) else port
    url = f"postgresql://vwed:secret@127.0.0.1:{port}/vwed"

    async def took() -> float:
        """Seconds, without what the command needs to begin at all on this machine."""
        began = time.monotonic()
        await asyncio.to_thread(refused, "--listen", "127.0.0.1:0", "--data-dir", "/proc/none")
        at_once = time.monotonic()
        said = await asyncio.to_thread(
            refused, *("--listen", "127.0.0.1:0", "--start-timeout", "0"),
            *("--database-url", url, "--redis-url", "none"),
        )  # fmt: skip
        assert said.startswith(f"Error: the database cannot be used: 127.0.0.1:{port}: ")
        assert "secret" not in said
        return time.monotonic() - at_once - (at_once - began)

    await promptly(took, below=15)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--listen", "50051"), "--listen: '50051' is not host:port"),
        (("--workers", "0"), "--workers: "),
        (("--database-url", "mysql://u:secret@db/vwed"), "--database-url: "),
        (("--redis-url", "localhost"), "--redis-url: "),
        (("--data-dir", "/proc/none"), "/proc/none"),
        # Once, and not by each worker.
        (("--workers", "2", "--token-keys", "/none"), "/none cannot be read: "),
    ],
)
def test_an_option_is_wrong(options: tuple[str, ...], named: str) -> None:
    said = refused("--listen", "127.0.0.1:0", *options)
    assert named in said
    assert "secret" not in said


def refused(*options: str) -> str:
    """The one line that `serve` says, and nothing else."""
    done = subprocess.run(
        [BIN / "vwed-grpc", "serve", *options],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode > 0
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line
