"""How many of each kind a process takes. Reasons stand in docs/operations.md."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one process. A tenant has half of each while others ask."""

    live: int = 256
    """Calls of the live class at work."""
    reserve: int = 64
    """More of them, for heartbeats, reports and finishes alone."""
    bulk: int = 32
    figures: int = 4
    waits: int = 10_000
    """Claims that wait, and streams out."""
    waits_of_connection: int = 5_000
    incoming_streams: int = 1_000
    """Each may hold a message of 4 MiB that is not whole, for as long as it likes."""
    reading: int = 64
    """Requests that are being read and were begun just now."""
    reading_slowly: int = 64
    """Those that did not come at once: each may hold 4 MiB until READ_SECONDS are over."""
    request_bytes: int = 256 << 20
    """Of the large requests that are at work."""
