"""What a commit tells of a tenant's runs, and how it travels to other replicas.

Small events travel whole, of others just how far the run is.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vwed_grpc.storage.events import Event
from vwed_grpc.storage.feed import Entry

MAX_BYTES = 32 * 1024
"""A run's events that are larger are read from the database, and so are those
of a commit beyond MAX_COMMIT_BYTES: Redis cuts subscribers that lag by megabytes."""
MAX_COMMIT_BYTES = 128 * 1024

NEWS = "news"
"""The kind of a tenant's channel. That of the first releases, "watch", is left to them: they take
whatever comes there for an unsealed message."""

ORIGIN_BYTES = 8
_HEAD = struct.Struct("<qqHhI")  # xact, the newest seq; bytes of id, robot (-1: none) and events
_EVENT = struct.Struct("<qqBIi")  # seq, group_seq, kind, event bytes, payload bytes (-1: none)


@dataclass(frozen=True, slots=True)
class News:
    """What is new of a run: its events up to `newest`, or without any just how far it is."""

    run: str
    newest: int
    events: Sequence[Event]
    robot_id: str | None = None
    """The run's robot since; None if that is not known."""
    xact: int = 0
    """The number of the transaction; 0 if that is not known."""

    @property
    def entries(self) -> Iterator[Entry]:
        for event in self.events:
            yield Entry(self.run, event, self.robot_id, self.xact)


@dataclass(frozen=True, slots=True)
class Heard:
    """News as they came, of which the events are unpacked when somebody wants them."""

    run: str
    newest: int
    robot_id: str | None
    xact: int
    packed: bytes

    def unpacked(self) -> News:
        events = list(_unpacked(self.packed))
        return News(self.run, self.newest, events, self.robot_id, self.xact)


def pack(origin: bytes, news: Sequence[News]) -> bytes:
    """What one commit has to say. `origin` has ORIGIN_BYTES and names who made it."""
    parts = [origin]
    left = MAX_COMMIT_BYTES
    for one in news:
        size = sum(len(e.event) + len(e.payload or b"") for e in one.events)
        events = b"".join(_packed(one.events)) if size <= min(MAX_BYTES, left) else b""
        left -= len(events)
        run, robot = one.run.encode(), one.robot_id
        named = (robot or "").encode()
        length = -1 if robot is None else len(named)
        head = _HEAD.pack(one.xact, one.newest, len(run), length, len(events))
        parts += (head, run, named, events)
    return b"".join(parts)


def unpack(data: bytes, *, own: bytes) -> Iterator[Heard]:
    """What a commit of any origin but one's own has to say."""
    if data.startswith(own):
        return
    at = ORIGIN_BYTES
    while at < len(data):
        xact, newest, run_size, robot_size, size = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        run = data[at : at + run_size].decode()
        at += run_size
        robot = None if robot_size < 0 else data[at : at + robot_size].decode()
        at += max(robot_size, 0)
        yield Heard(run, newest, robot, xact, data[at : at + size])
        at += size


def _packed(events: Sequence[Event]) -> Iterator[bytes]:
    for e in events:
        size = -1 if e.payload is None else len(e.payload)
        yield _EVENT.pack(e.seq, e.group_seq, e.kind, len(e.event), size)
        yield e.event
        yield e.payload or b""


def _unpacked(data: bytes) -> Iterator[Event]:
    at = 0
    while at < len(data):
        seq, group_seq, kind, length, payload_length = _EVENT.unpack_from(data, at)
        at += _EVENT.size
        event = data[at : at + length]
        at += length
        payload = None if payload_length < 0 else data[at : at + payload_length]
        at += max(payload_length, 0)
        yield Event(seq, group_seq, kind, event, payload)
