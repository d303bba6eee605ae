"""A caller that sends the beginning of large requests, as much as the server lets it, and no more.

gRPC's own client sends whole messages only, so this speaks the little of HTTP/2 that it takes.
"""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, SETTINGS, PING, _WINDOW = 0, 1, 3, 4, 6, 8
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_INITIAL_WINDOW = 4
_MOST = 16_384


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


def _field(name: str, value: str) -> bytes:
    """Not compressed, and not to be remembered."""
    raw = value.encode()
    return b"\0" + bytes([len(name)]) + name.encode() + bytes([len(raw)]) + raw


class HalfSent:
    """Requests of one connection, of each of which the last byte never comes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._initial = self._window = 65_535
        self._windows: dict[int, int] = {}
        self._left: dict[int, int] = {}
        self._prefixes: dict[int, bytes] = {}
        """What says how large each message is, until it is sent: flow control counts it, too."""
        self.sent: dict[int, int] = {}
        """Bytes of each request that the server has taken, while the call is open."""
        self.trailers: list[bytes] = []
        """How calls ended, still as the wire has it; of what was reset, nothing."""
        writer.write(PREFACE + frame(SETTINGS, 0, 0))

    def open(self, path: str, tenant: str, count: int, size: int) -> None:
        """Begins so many calls, each with a message said to have `size` bytes."""
        pseudo = b"\x83\x86" + _field(":path", path) + _field(":authority", "test")
        named = _field("content-type", "application/grpc") + _field("te", "trailers")
        headers = pseudo + named + _field("x-vwed-tenant", tenant)
        first = 1 + 2 * len(self._windows)
        for stream in range(first, first + 2 * count, 2):
            self._windows[stream] = self._initial
            self._prefixes[stream] = b"\0" + size.to_bytes(4)
            self._left[stream] = len(self._prefixes[stream]) + size - 1
            self.sent[stream] = 0
            self._writer.write(frame(_HEADERS, _END_HEADERS, stream, headers))
            self._send(stream)

    @property
    def held(self) -> int:
        """Bytes that the server has of calls that are open."""
        return sum(self.sent.values())

    async def run(self) -> None:
        """Until cancelled, or the server closes the connection."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await self._reader.readexactly(9)
                payload = await self._reader.readexactly(int.from_bytes(head[:3]))
                self._take(head[3], head[4], int.from_bytes(head[5:]), payload)

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == _WINDOW and stream:
            self._windows[stream] += int.from_bytes(payload)
        elif kind == _WINDOW:
            self._window += int.from_bytes(payload)
        elif kind == SETTINGS and not flags & _ACK:
            self._set(dict(struct.iter_unpack(">HI", payload)))
        elif kind == PING and not flags & _ACK:
            self._writer.write(frame(PING, _ACK, 0, payload))
        elif kind == _RESET or (kind == _HEADERS and flags & _END_STREAM):
            self.sent.pop(stream, None)
            if kind == _HEADERS:
                self.trailers.append(payload)
        if kind in {_WINDOW, SETTINGS}:
            for each in [stream] if stream else list(self.sent):
                self._send(each)

    def _set(self, given: dict[int, int]) -> None:
        initial = given.get(_INITIAL_WINDOW, self._initial)
        for each in self._windows:
            self._windows[each] += initial - self._initial
        self._initial = initial
        self._writer.write(frame(SETTINGS, _ACK, 0))

    def _send(self, stream: int) -> None:
        while stream in self.sent:
            size = min(self._window, self._windows[stream], self._left[stream], _MOST)
            prefix = self._prefixes.get(stream, b"")
            if size <= len(prefix):
                return
            self._prefixes.pop(stream, None)
            self._left[stream] -= size
            self.sent[stream] += size
            self._data(stream, prefix.ljust(size, b"\0"))

    def _data(self, stream: int, payload: bytes) -> None:
        self._window -= len(payload)
        self._windows[stream] -= len(payload)
        self._writer.write(frame(_DATA, 0, stream, payload))


@asynccontextmanager
async def half_sending(target: str) -> AsyncIterator[HalfSent]:
    """A connection for requests that never become whole."""
    host, _, port = target.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    sender = HalfSent(reader, writer)
    running = asyncio.create_task(sender.run())
    try:
        yield sender
    finally:
        running.cancel()
        writer.close()
