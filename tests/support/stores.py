"""A PostgreSQL and a Valkey of a test's own, to be harmed."""

import asyncio
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from redis.asyncio import Redis
from redis.exceptions import RedisError

from tests.support.redis_server import PROGRAM
from vwed_grpc import embedded
from vwed_grpc.storage import schema
from vwed_grpc.storage.database import sync_engine


@asynccontextmanager
async def postgres(data_dir: Path) -> AsyncIterator[str]:
    """A migrated database whose server remembers when each transaction was committed."""
    async with embedded.lock_data_dir(data_dir):
        async with embedded.postgres(data_dir) as url:
            _execute(url, "ALTER SYSTEM SET track_commit_timestamp = on")
        async with embedded.postgres(data_dir) as url:
            engine = sync_engine(url)
            schema.migrate(engine)
            engine.dispose()
            yield url


def postmaster_of(home: Path) -> int:
    """The first process of the PostgreSQL that runs below `home`."""
    (file,) = home.rglob("postmaster.pid")
    return int(file.read_text().splitlines()[0])


def _execute(url: str, statement: str) -> None:
    engine = sync_engine(url).execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(statement))
    engine.dispose()


class Valkey:
    """On a unix socket, so that whoever should meet trouble on the way to it meets a proxy."""

    def __init__(self, home: Path) -> None:
        self.socket = str(home / "valkey.sock")
        self._command = [
            *(PROGRAM, "--port", "0", "--unixsocket", self.socket),
            *("--save", "", "--dir", str(home)),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)  # noqa: ASYNC220 - takes no time
        until = time.monotonic() + 10
        while time.monotonic() < until:
            try:
                await self.command("PING")
            except (RedisError, OSError):
                await asyncio.sleep(0.02)
            else:
                return
        pytest.fail("Valkey does not start")

    def stop(self) -> None:
        """At once, and with all that it held."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    async def command(self, *words: str) -> None:
        async with Redis(unix_socket_path=self.socket) as redis:
            await redis.execute_command(*words)  # type: ignore[no-untyped-call]  # untyped in redis-py


@contextmanager
def valkey_home() -> Iterator[Path]:
    """A directory whose path is short enough for a socket."""
    home = Path(tempfile.mkdtemp(prefix="vwed-valkey-", dir="/tmp"))
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)
