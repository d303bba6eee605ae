"""Debian's PostgreSQL, which has pg_trgm; a cluster of its own, on the core of the load."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.process import LOAD_CORE
from bench.stand import free_port

MISSING = "Debian's PostgreSQL is not installed: apt-get install postgresql"
_SETTINGS = ("jit=off", "shared_buffers=256MB", "max_connections=200")


class NotInstalledError(RuntimeError):
    """Why a peer cannot be measured here."""


@contextmanager
def debian_postgres() -> Iterator[str]:
    """Yields `host:port` of a server whose user `postgres` needs no password.

    Raises NotInstalledError.
    """
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        raise NotInstalledError(MISSING)
    binaries, port = str(found[-1].parent), free_port()
    as_root = os.geteuid() == 0
    prefix = ["runuser", "-u", "postgres", "--"] if as_root else []
    room = Path(tempfile.mkdtemp(prefix="vwed-bench-pg-"))
    if as_root:
        shutil.chown(room, "postgres")
    data = str(room / "data")
    subprocess.run(
        [*prefix, f"{binaries}/initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8"],
        check=True,
        capture_output=True,
        cwd="/",
    )
    options = [f"port={port}", f"unix_socket_directories={room}", *_SETTINGS]
    server = subprocess.Popen(
        [
            "taskset",
            "-c",
            str(LOAD_CORE),
            *prefix,
            f"{binaries}/postgres",
            "-D",
            data,
            *(word for option in options for word in ("-c", option)),
        ],
        cwd="/",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        ready = [f"{binaries}/pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
        for _ in range(200):
            if subprocess.run(ready, check=False).returncode == 0:
                break
            time.sleep(0.1)
        yield f"127.0.0.1:{port}"
    finally:
        subprocess.run(
            [*prefix, f"{binaries}/pg_ctl", "-D", data, "-m", "fast", "stop"],
            check=False,
            capture_output=True,
            cwd="/",
        )
        server.wait(30)
        shutil.rmtree(room, ignore_errors=True)
