"""New events as they travel to other replicas: small ones whole, else just how far the run is."""

import struct
from collections.abc import Sequence

from vwed_grpc.storage.events import Event

MAX_BYTES = 32 * 1024
"""Larger news are read from the database: Redis cuts subscribers that lag by megabytes."""

_HEAD = struct.Struct("<q")  # the newest seq
_EVENT = struct.Struct("<qqBIi")  # seq, group_seq, kind, event bytes, payload bytes (-1: none)


def pack(newest: int, events: Sequence[Event]) -> bytes:
    """`events` are all up to `newest` of one commit, or none."""
    head = _HEAD.pack(newest)
    if sum(len(e.event) + len(e.payload or b"") for e in events) > MAX_BYTES:
        return head
    parts = [head]
    for e in events:
        size = -1 if e.payload is None else len(e.payload)
        parts += (
            _EVENT.pack(e.seq, e.group_seq, e.kind, len(e.event), size),
            e.event,
            e.payload or b"",
        )
    return b"".join(parts)


def unpack(data: bytes) -> tuple[int, list[Event]]:
    """The newest seq, and the events if they travelled along."""
    (newest,) = _HEAD.unpack_from(data)
    events, at = [], _HEAD.size
    while at < len(data):
        seq, group_seq, kind, length, payload_length = _EVENT.unpack_from(data, at)
        at += _EVENT.size
        event = data[at : at + length]
        at += length
        payload = None if payload_length < 0 else data[at : at + payload_length]
        at += max(payload_length, 0)
        events.append(Event(seq, group_seq, kind, event, payload))
    return int(newest), events
