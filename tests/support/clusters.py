"""A primary and its standby, on ports of their own, from the embedded PostgreSQL's programs."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg

from tests.support.process import family
from vwed_grpc.embedded.postgres import program
from vwed_grpc.embedded.unprivileged import unprivileged

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",  # a process is killed here, never the machine
    "shared_buffers": "64MB",
    "max_connections": "100",
    "track_commit_timestamp": "on",
    "wal_receiver_status_interval": "1s",
}


class Cluster:
    """One server: made, or cloned from another; killed; promoted."""

    def __init__(self, home: Path, name: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.home = home
        self.data = home / name
        self.host = f"127.0.0.1:{self.port}"
        self._account = unprivileged(home)
        self._log = home / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@{self.host}/{database}"

    def make(self) -> None:
        self._run(
            *("initdb", f"--pgdata={self.data}", "--username=postgres", "--auth=trust"),
            *("--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            *("--locale=C", "--no-sync"),
        )

    def clone(self, primary: "Cluster") -> None:
        """Becomes its standby, which follows it from `start` on."""
        source = f"{primary.url()}?application_name=standby"
        self._run(
            *(
                "pg_basebackup",
                f"--pgdata={self.data}",
                f"--dbname={source}",
                "--write-recovery-conf",
            ),
            *("--wal-method=stream", "--checkpoint=fast", "--no-sync"),
        )

    def start(self) -> None:
        """Returns when it takes connections."""
        settings = _SETTINGS | {"port": str(self.port), "unix_socket_directories": str(self.home)}
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        words = [*self._account.prefix, program("postgres"), "-D", self.data, *options]
        until = time.monotonic() + 60
        while time.monotonic() < until:
            # It does not start while what a killed one has left is about to go.
            if self._process is None or self._process.poll() is not None:
                with self._log.open("ab") as log:
                    self._process = subprocess.Popen(
                        [str(word) for word in words],
                        stdout=log,
                        stderr=log,
                        start_new_session=True,
                    )
            with suppress(psycopg.OperationalError):
                self.execute("SELECT 1")
                return
            time.sleep(0.05)
        raise AssertionError(self._log.read_text()[-2000:])

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """Its rows; a statement that answers none is done outside of any transaction."""
        with psycopg.connect(self.url(), autocommit=True, connect_timeout=5) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def commit_only_with_a_standby(self) -> None:
        self.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.execute("SELECT pg_reload_conf()")
        until = time.monotonic() + 30
        while ("sync",) not in self.execute("SELECT sync_state FROM pg_stat_replication"):
            assert time.monotonic() < until, "no standby"
            time.sleep(0.05)

    def promote(self) -> None:
        self.execute("SELECT pg_promote(true, 30)")

    def kill(self) -> None:
        """The whole of it at once, as when its machine loses power."""
        if self._process is not None and self._process.poll() is None:
            for pid in [*family(self._process.pid)]:  # before the first of them is gone
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.wait(10)

    def _run(self, name: str, *arguments: str) -> None:
        self.data.mkdir(mode=0o700)
        self._account.give(self.data)
        done = subprocess.run(
            [*self._account.prefix, program(name), *arguments],
            check=False,
            capture_output=True,
            text=True,
        )
        assert not done.returncode, done.stderr


@contextmanager
def frozen(postmaster: int) -> Iterator[None]:
    """PostgreSQL answers nobody, as on a host that swaps or fails over."""
    stopped = [*family(postmaster)]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in stopped:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@contextmanager
def clusters(*names: str) -> Iterator[list[Cluster]]:
    """Servers that are neither made nor started yet; none is left on the way out."""
    home = Path(tempfile.mkdtemp(prefix="vwed-pg-", dir="/tmp"))
    made = [Cluster(home, name) for name in names]
    try:
        yield made
    finally:
        for cluster in made:
            cluster.kill()
        shutil.rmtree(home, ignore_errors=True)
