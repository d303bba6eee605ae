"""What gRPC's core is told: it acts before the edge hears of a call, and without details."""

from vwed_grpc.limits import Limits

MAX_MESSAGE_BYTES = 4 << 20
"""Of a request, and of an answer: the default limit of every client."""


def server_options(limits: Limits) -> list[tuple[str, int]]:
    """The options of a server: gRPC ignores what it does not know, so tests see what it does."""
    return [
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        # Without the probe a stream that nobody reads holds at most the look-ahead, not 8 MiB and
        # more.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", 64 << 10),
        # Beyond these gRPC cancels calls without a word, from the first on at random; the edge
        # refuses with details long before.
        ("grpc.server.max_pending_requests", 20_000),
        ("grpc.server.max_pending_requests_hard_limit", 40_000),
        ("grpc.max_concurrent_streams", limits.streams_of_connection),
        # Clients may ping every 10 s (a second less for their clocks), with and without calls.
        ("grpc.http2.min_ping_interval_without_data_ms", 9_000),
        ("grpc.keepalive_permit_without_calls", 1),
        # A peer that is silent for a minute is asked, and dropped 20 s later;
        # grpc.keepalive_timeout_ms does nothing in this version.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.http2.ping_timeout_ms", 20_000),
        # A connection without a call costs memory all the same; its client makes another when it
        # calls.
        ("grpc.max_connection_idle_ms", 30 * 60_000),
        # A client looks for new replicas when it connects anew. Calls and streams that are there go
        # on where they are, however long; new ones take the new connection.
        ("grpc.max_connection_age_ms", 15 * 60_000),
        # A peer that connects and says nothing counts until the time-out.
        ("grpc.max_allowed_incoming_connections", limits.connections),
        ("grpc.server_handshake_timeout_ms", 10_000),
    ]
