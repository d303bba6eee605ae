"""The little of HTTP/2 that a gRPC load needs: prepared requests out, messages of answers in.

Python's own gRPC client costs a core as much a call as the server does, and h2load can only repeat
one body. This costs a tenth of the client. Headers of answers are not decoded: gRPC sends errors
without a message, so an answer that has one is a good one.
"""

import socket
import struct
import time
from collections import deque
from collections.abc import Mapping
from typing import Protocol

_HEAD = struct.Struct(">HBBBI")  # length (24 bits), type, flags, stream
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_INITIAL_WINDOW = 4  # the setting's number
_WIDE = (1 << 31) - 1
_FIRST_DYNAMIC = 62
_MOST = 16_384  # bytes in a frame, as long as nobody asks for more
_STATIC = {":authority": 1, ":path": 4, "content-type": 31}
_METHOD_POST, _SCHEME_HTTP = b"\x83", b"\x86"


class Answers(Protocol):
    """Who is told what becomes of a call."""

    def message(self, body: bytes) -> None: ...

    def end(self) -> None: ...


def framed(kind: int, flags: int, stream: int, payload: bytes | memoryview) -> bytes:
    length = len(payload)
    return _HEAD.pack(length >> 8, length & 0xFF, kind, flags, stream) + payload


class Call:
    """One stream: what has come of a message that is not yet whole, and what may still be sent."""

    __slots__ = ("answers", "part", "window")

    def __init__(self, answers: Answers, window: int) -> None:
        self.answers = answers
        self.part = b""
        self.window = window

    def take(self, payload: bytes) -> None:
        if self.part:
            payload = self.part + payload
        at, size = 0, len(payload)
        while size - at >= 5:
            end = at + 5 + int.from_bytes(payload[at + 1 : at + 5])
            if end > size:
                break
            self.answers.message(payload[at + 5 : end])
            at = end
        self.part = payload[at:]


class Connection:
    """One HTTP/2 connection without TLS. What is sent leaves with the next `flush`."""

    def __init__(
        self, target: str, metadata: Mapping[str, str] | None = None, *, unread: bool = False
    ) -> None:
        """With `unread` no call gets more than its first 64 KiB, as if nobody read it."""
        host, _, port = target.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.calls: dict[int, Call] = {}
        self.received_at = 0.0
        self._headers = {":authority": target, "te": "trailers", "content-type": "application/grpc"}
        self._headers |= metadata or {}
        self._known: dict[tuple[str, str], int] = {}
        self._next = 1
        self._window = self._initial = 65_535
        self._unsent: dict[int, deque[tuple[bytes | memoryview, int]]] = {}
        """Of each call what the server does not let go yet, with flags."""
        self._in = b""
        self._owed = 0
        window = b"" if unread else struct.pack(">HI", _INITIAL_WINDOW, _WIDE)
        self._out = [
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            framed(_SETTINGS, 0, 0, window),
            framed(_WINDOW, 0, 0, struct.pack(">I", _WIDE - self._window)),
        ]
        self.flush()  # a server does not wait long for this

    def open(self, path: str, answers: Answers, message: bytes | None = None) -> int:
        """Begins a call; with a message it is the only one, else `send` sends them."""
        stream, self._next = self._next, self._next + 2
        self.calls[stream] = Call(answers, self._initial)
        self._out.append(framed(_HEADERS, _END_HEADERS, stream, self._header_block(path)))
        if message is not None:
            self.send(stream, message, last=True)
        return stream

    def send(
        self, stream: int, message: bytes, *, last: bool = False, size: int | None = None
    ) -> None:
        """`size` is what the message is said to have, if this is only its beginning."""
        head = b"\0" + (len(message) if size is None else size).to_bytes(4)
        flags = _END_STREAM if last else 0
        unsent = self._unsent.setdefault(stream, deque())
        if len(message) < _MOST - len(head):
            unsent.append((head + message, flags))
        else:
            unsent.append((head, 0))
            body = memoryview(message)
            unsent += [(body[at : at + _MOST], 0) for at in range(0, len(body), _MOST)]
            unsent[-1] = (unsent[-1][0], flags)
        self._send_unsent(stream)

    def reset(self, stream: int) -> None:
        """Leaves the call, as a caller does who cancels it."""
        if self.calls.pop(stream, None):
            self._unsent.pop(stream, None)
            self._out.append(framed(_RESET, 0, stream, struct.pack(">I", 8)))

    def flush(self) -> None:
        if self._out:
            self.socket.sendall(b"".join(self._out))
            self._out.clear()

    def close(self) -> None:
        self.socket.close()

    def receive(self) -> None:
        """Reads what is there and tells the calls; wait until the socket is readable first."""
        data = self.socket.recv(1 << 20)
        if not data:
            raise ConnectionError("the server closed the connection")
        self.received_at = time.perf_counter()
        data = self._in + data
        at, size = 0, len(data)
        while size - at >= 9:
            high, low, kind, flags, stream = _HEAD.unpack_from(data, at)
            end = at + 9 + (high << 8 | low)
            if end > size:
                break
            self._take(kind, flags, stream, data[at + 9 : end])
            at = end
        self._in = data[at:]
        self._owed += at
        if self._owed > 1 << 26:
            self._out.append(framed(_WINDOW, 0, 0, struct.pack(">I", self._owed)))
            self._owed = 0

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if stream == 0:
            self._of_connection(kind, flags, payload)
            return
        call = self.calls.get(stream)
        if call is None:  # one that we left
            return
        if kind == _DATA:
            call.take(payload)
        elif kind == _WINDOW:
            call.window += int.from_bytes(payload)
            self._send_unsent(stream)
        if kind == _RESET or (kind in (_DATA, _HEADERS) and flags & _END_STREAM):
            del self.calls[stream]
            self._unsent.pop(stream, None)
            call.answers.end()

    def _of_connection(self, kind: int, flags: int, payload: bytes) -> None:
        """What concerns the connection as a whole."""
        if kind == _SETTINGS and not flags & _ACK:
            for name, value in struct.iter_unpack(">HI", payload):
                if name == _INITIAL_WINDOW:
                    for call in self.calls.values():
                        call.window += value - self._initial
                    self._initial = value
            self._out.append(framed(_SETTINGS, _ACK, 0, b""))
        elif kind == _PING and not flags & _ACK:
            self._out.append(framed(_PING, _ACK, 0, payload))
        elif kind == _WINDOW:
            self._window += int.from_bytes(payload)
        elif kind == _GOAWAY:
            raise ConnectionError(f"the server said GOAWAY: {payload[8:].decode(errors='replace')}")
        for waiting in list(self._unsent):
            self._send_unsent(waiting)

    def _send_unsent(self, stream: int) -> None:
        """Sends of a call what flow control allows."""
        if not (unsent := self._unsent.get(stream)):
            return
        call = self.calls[stream]
        while unsent and min(self._window, call.window) >= len(unsent[0][0]):
            piece, flags = unsent.popleft()
            self._window -= len(piece)
            call.window -= len(piece)
            self._out.append(framed(_DATA, flags, stream, piece))
        if not unsent:
            del self._unsent[stream]

    def _header_block(self, path: str) -> bytes:
        """Known headers as a byte each, as every client sends them; new ones are made known."""
        block = _METHOD_POST + _SCHEME_HTTP
        for name, value in ((":path", path), *self._headers.items()):
            nth = self._known.get((name, value))
            if nth is not None:
                block += bytes((0x80 | _FIRST_DYNAMIC + len(self._known) - 1 - nth,))
                continue
            self._known[name, value] = len(self._known)
            if index := _STATIC.get(name):
                block += bytes((0x40 | index,))
            else:
                block += b"\x40" + _text(name)
            block += _text(value)
        return block


_LONG = 0x7F
"""The length of a string, or more than that, in a byte's seven bits."""


def _text(value: str) -> bytes:
    """An HPACK string, plain; its length in seven bits, and what is above in seven bits a byte."""
    raw = value.encode()
    if len(raw) < _LONG:
        return bytes((len(raw),)) + raw
    length, rest = bytearray((_LONG,)), len(raw) - _LONG
    while rest >= 0x80:
        length.append(0x80 | rest & 0x7F)
        rest >>= 7
    length.append(rest)
    return bytes(length) + raw
