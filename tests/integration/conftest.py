"""What tests have that go past the service, to its stores."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from vwed_grpc.cache.client import client
from vwed_grpc.cache.keys import GENERATION, KeySpace
from vwed_grpc.cache.redis_client import RedisClient
from vwed_grpc.cache.seal import Seal
from vwed_grpc.loop.pacing import Pace
from vwed_grpc.storage.connector import Connector
from vwed_grpc.storage.database import Database
from vwed_grpc.storage.pool import ReadingPool
from vwed_grpc.watching.catch_up import CatchUp
from vwed_grpc.watching.log import TailedLogs
from vwed_grpc.watching.wakeups import Wakeups
from vwed_grpc.writes.commit import Committer


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[ReadingPool]:
    """With one connection for transactions: what one leaves behind, the next one meets."""
    pool = ReadingPool(Connector(database_url), connections=1, reads=1)
    yield pool
    await pool.close()


@pytest.fixture
async def committer(database_url: str) -> AsyncIterator[Committer]:
    """Without Redis."""
    database = Database(database_url, connections=8, statement_timeout=5.0)
    keys, wakeups = KeySpace(GENERATION, "test"), Wakeups(None, Seal(b"a key"))
    logs = TailedLogs(
        database, wakeups, keys, CatchUp(Pace(lambda: False)), observe_lag=lambda _: None
    )
    async with RedisClient(None) as redis:
        yield Committer(redis, keys, logs, wakeups)
    await database.close()


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    """Without the service's seal."""
    async with client(redis_url) as redis:
        yield redis
