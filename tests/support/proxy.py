"""A TCP proxy that stands between two who should not notice, until it delays, freezes or cuts."""

import asyncio
import socket
import struct
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

_CHUNK = 64 * 1024
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close() sends RST


class Proxy:
    """Passes connections on to one server; its port stays the same while the server comes and goes.

    A connection that the server does not take is reset, as if there were no proxy.
    """

    def __init__(self, host: str, port: int = 0) -> None:
        """`host` is the path of a unix socket if it begins with a slash; then `port` is unused."""
        self.delay = 0.0
        """Seconds that every chunk is late, in either direction."""
        self.port = 0
        self.upstream = host, port
        """Where connections lead from now on."""
        self._asking = asyncio.Event()
        self._answering = asyncio.Event()
        self.thaw()
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        await self.cut()

    def freeze(self) -> None:
        """Lets nothing through, though connections stay open, and new ones are taken."""
        self._asking.clear()
        self._answering.clear()

    def hold_answers(self) -> None:
        """Lets nothing of the server's through, so what is asked is done, and not answered."""
        self._answering.clear()

    def thaw(self) -> None:
        """Lets everything through that has waited."""
        self._asking.set()
        self._answering.set()

    async def cut(self) -> None:
        """Resets every connection; new ones are taken."""
        connections = {*self._connections}
        for connection in connections:
            connection.cancel()
        if connections:
            await asyncio.wait(connections)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # In a task of our own: asyncio complains about connections that end by cancellation.
        connection = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(connection)

        def ended(_: asyncio.Task[None]) -> None:  # one that is cut before its first step, too
            self._connections.discard(connection)
            _reset(writer)

        connection.add_done_callback(ended)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream: asyncio.StreamWriter | None = None
        pumps: list[asyncio.Task[None]] = []
        try:
            await self._asking.wait()
            host, port = self.upstream
            upstream_reader, upstream = await (
                asyncio.open_unix_connection(host)
                if host.startswith("/")
                else asyncio.open_connection(host, port)
            )
            pumps = [
                asyncio.create_task(self._pump(reader, upstream, self._asking)),
                asyncio.create_task(self._pump(upstream_reader, writer, self._answering)),
            ]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        except OSError:
            pass
        finally:
            for pump in pumps:
                pump.cancel()
            if upstream is not None:
                _reset(upstream)

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, flowing: asyncio.Event
    ) -> None:
        with suppress(OSError):
            while data := await source.read(_CHUNK):
                if self.delay:
                    await asyncio.sleep(self.delay)
                await flowing.wait()
                sink.write(data)
                await sink.drain()


def proxy_of(url: str) -> Proxy:
    """One to the Redis of a URL."""
    parts = urlsplit(url)
    return (
        Proxy(parts.path)
        if parts.scheme == "unix"
        else Proxy(str(parts.hostname), parts.port or 6379)
    )


def _reset(end: asyncio.StreamWriter) -> None:
    peer = end.get_extra_info("socket")
    if peer is not None and peer.family != socket.AF_UNIX:
        with suppress(OSError):
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    end.transport.abort()
