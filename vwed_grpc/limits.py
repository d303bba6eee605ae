"""How much of everything a process takes: each limit with its default, and by its name a setting.

Why each is what it is stands in docs/operations.md. Within each a tenant has half while others ask.
"""

from typing import Annotated

from pydantic import BaseModel, Field

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]


class Limits(BaseModel):
    """The limits of one process."""

    live_calls: Count = 256
    """Calls of the live class at work at once."""
    urgent_calls: Count = 64
    """More of them, for heartbeats, reports and finishes alone."""
    bulk_calls: Count = 32
    figures_calls: Count = 4
    probe_calls: Count = 8
    """Health checks."""

    live_queue: Count = 4_096
    """Live or urgent calls that wait for a place; with 64 KiB each that gRPC may hold of their
    requests: 256 MiB."""
    live_queue_seconds: Seconds = 2.0
    bulk_queue: Count = 1_024
    bulk_queue_seconds: Seconds = 5.0
    """As long as PostgreSQL may work on one statement (VWED_STATEMENT_TIMEOUT)."""
    figures_queue: Count = 64
    figures_queue_seconds: Seconds = 5.0

    waits: Count = 10_000
    """Claims that wait, and streams out."""
    waits_of_connection: Count = 5_000
    incoming_streams: Count = 128
    """Of reports, imports and reflection: each may hold a message of 4 MiB that is not whole."""
    incoming_streams_of_connection: Count = 64

    uploads: Count = 48
    """Requests that are being read and were begun just now: each may hold 4 MiB."""
    slow_uploads: Count = 48
    """Those that did not come at once."""
    urgent_uploads: Count = 16
    """More of either, for heartbeats, reports and finishes alone."""
    upload_seconds: Seconds = 10.0
    """After which a request that is not whole is refused."""
    large_request_bytes: Count = 256 << 20
    """Of the requests above 64 KiB that are at work."""

    connections: Count = 10_000
    streams_of_connection: Count = 10_000
    """Twice its waits: its other calls always get through."""
