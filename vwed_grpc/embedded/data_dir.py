"""A data directory belongs to one server at a time; its sockets lie in private, short paths."""

import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from vwed_grpc.embedded.daemon import EmbeddedServerError

# A socket's path may have 103 bytes on macOS, 107 on Linux, and PostgreSQL adds "/.s.PGSQL.5432".
# The characters are those that mean nothing in a URL or in a list of directories.
_FIT_FOR_SOCKETS = re.compile(r"[A-Za-z0-9/._+-]{1,88}")


class DataDirInUse(RuntimeError):
    """Another process serves this data directory; the message is one line for people."""


@asynccontextmanager
async def lock_data_dir(path: Path) -> AsyncIterator[None]:
    """Own the directory `path`, made if missing, until exit or the death of this process.

    Raises:
        DataDirInUse: another process owns it.
        EmbeddedServerError: it cannot be made or written.
    """
    try:
        lock = _lock(path)
    except OSError as exc:
        raise EmbeddedServerError(f"data directory {path} cannot be used: {exc.strerror}") from exc
    try:
        yield
    finally:
        os.close(lock)


def _lock(path: Path) -> int:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.read(lock, 20).decode() or "unknown"
        os.close(lock)
        raise DataDirInUse(f"data directory {path} is in use by process {owner}") from None
    os.ftruncate(lock, 0)
    os.write(lock, str(os.getpid()).encode())
    return lock


def private_dir(path: Path) -> Path:
    """Make `path`, a directory that no other user can look into, and answer its absolute path."""
    path.mkdir(mode=0o700, exist_ok=True)
    path.chmod(0o700)
    return path.absolute()


@contextmanager
def socket_dir(room: Path) -> Iterator[Path]:
    """`room`/run, or a directory below /tmp that it links to when its own path does not fit.

    The link outlives a killed process, so that the next one finds the sockets where they are.
    """
    run = room / "run"
    if run.is_symlink():
        if _is_private(run.readlink()):
            yield from _borrowed(run)
            return
        run.unlink()  # /tmp was cleared, and the name may be another user's by now
    if _FIT_FOR_SOCKETS.fullmatch(str(run)):
        yield private_dir(run)
        return
    shutil.rmtree(run, ignore_errors=True)  # it fitted where the data directory was before
    # TMPDIR may be as long as the path that did not fit.
    run.symlink_to(tempfile.mkdtemp(prefix="vwed-", dir="/tmp"))
    yield from _borrowed(run)


def _borrowed(run: Path) -> Iterator[Path]:
    target = run.readlink()
    try:
        yield target
    finally:
        shutil.rmtree(target, ignore_errors=True)
        run.unlink(missing_ok=True)


def _is_private(path: Path) -> bool:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    return found.st_mode == stat.S_IFDIR | stat.S_IRWXU and found.st_uid == os.geteuid()
