import grpc

OPTIONS: tuple[tuple[str, str | int], ...] = (
    # Left alone, a channel waits up to two minutes before it tries a restarted server again.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # Of a target with several addresses all are used, and one that breaks is not waited for.
    ("grpc.service_config", '{"loadBalancingConfig": [{"round_robin": {}}]}'),
    # A replica that was restarted has another address; left alone, a name is asked for again after
    # half a minute at the earliest.
    ("grpc.dns_min_time_between_resolutions_ms", 1_000),
    # A peer that vanished without a word (its power, a cable, a NAT's memory) is found by a ping
    # that it does not answer: within 40 s, and also where no call is under way, so that the next
    # one has a connection. The service takes a ping every 10 s.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.http2.ping_timeout_ms", 10_000),  # keepalive_timeout_ms has no effect
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),  # no end to them
    # Channels to one target would else share a connection, and its fate.
    ("grpc.use_local_subchannel_pool", 1),
    # http_proxy is meant for the web; a fleet's server is on the fleet's own network.
    ("grpc.enable_http_proxy", 0),
)


def open_channel(target: str, credentials: grpc.ChannelCredentials | None) -> grpc.aio.Channel:
    """A channel as a client wants it, over TLS if there are credentials."""
    if credentials is None:
        return grpc.aio.insecure_channel(target, options=OPTIONS)
    return grpc.aio.secure_channel(target, credentials, options=OPTIONS)
