"""What tests have that go past the service, to its stores."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from vwed_grpc.cache.client import client
from vwed_grpc.storage.connector import Connector
from vwed_grpc.storage.pool import ReadingPool


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[ReadingPool]:
    """With one connection for transactions: what one leaves behind, the next one meets."""
    pool = ReadingPool(Connector(database_url), connections=1, reads=1)
    yield pool
    await pool.close()


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    """Without the service's seal."""
    async with client(redis_url) as redis:
        yield redis
