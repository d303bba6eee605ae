"""How this service talks to Redis, whatever for."""

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

TIMEOUT = 0.1
"""Seconds for a connection, and for an answer, before a Redis counts as gone."""


def client(url: str, *, retries: int = 1) -> Redis:
    """A client that soon gives up: redis-py's own defaults wait a minute for a frozen server.

    Args:
        url: `redis://`, `rediss://` (TLS) or `unix://`, with user and password if need be. Its
            query may set redis-py's options, `socket_timeout` among them, and wins over ours.
        retries: how often a failed command is tried again, at once.

    Raises:
        ValueError: the URL is of another kind.
    """
    return Redis.from_url(
        url,
        socket_timeout=TIMEOUT,
        socket_connect_timeout=TIMEOUT,
        retry=Retry(NoBackoff(), retries),
        protocol=2,  # RESP3 costs more round trips to connect and gives us nothing
        driver_info=None,  # and so does CLIENT SETINFO
    )
