"""What the contract allows where a writer was killed between its commit and its invalidation."""

from typing import Any

import pytest
from google.protobuf.message import Message
from redis.asyncio import Redis
from vwed.v1.cache_service_pb2 import GetDataCacheRequest
from vwed.v1.record_service_pb2 import GetTaskRecordRequest
from vwed.v1.task_def_service_pb2 import GetTaskDefRequest, GetTaskTemplateRequest

from tests.support.calls import create_def, create_run, set_entry, stub_of
from tests.support.definition_calls import create_template
from tests.support.steps import sql
from tests.support.waiting import until_true
from vwed.client import Client

STRONG = (("x-vwed-consistency", "strong"),)
READS: list[tuple[Message, str, float]] = [
    (GetTaskDefRequest(id="d"), "UPDATE task_defs SET etag = 'new'", 62),
    (GetTaskTemplateRequest(id="t"), "UPDATE task_templates SET etag = 'new'", 62),
    (GetTaskRecordRequest(id="r"), "UPDATE task_records SET etag = 'new'", 7),
    (GetDataCacheRequest(task_record_id="r", key="k"), "UPDATE data_cache SET version = 1", 7),
]
LEASE_SECONDS = 2
"""For so long may a reader who was slow still store what it read."""


@pytest.mark.parametrize(
    ("request_", "write", "bound"), READS, ids=lambda value: type(value).__name__
)
async def test_a_stale_read_is_bounded_and_a_strong_one_is_not_stale(
    client: Client,
    database_url: str,
    redis_url: str,
    tenant: str,
    request_: Message,
    write: str,
    bound: float,
) -> None:
    await create_def(client, id="d")
    await create_template(client, id="t")
    await create_run(client, "d", id="r")
    await set_entry(client, "r", "k", int_value=1)
    get = stub_of(client, request_)
    before = await get(request_)
    async with Redis.from_url(redis_url) as redis:

        async def lifetimes() -> list[float]:
            keys = [key async for key in redis.scan_iter(f"*{tenant}}}*")]
            held: dict[Any, Any] = {key: await redis.get(key) for key in keys}
            # What begins with an L is the lease of who has yet to store it.
            values = [key for key, value in held.items() if value and value[:1] != b"L"]
            return [await redis.pttl(key) / 1000 for key in values]

        (left,) = await until_true(lifetimes, what="the answer in Redis")
    assert bound / 2 < left <= bound - LEASE_SECONDS
    await sql(database_url, f"{write} WHERE tenant = :tenant RETURNING tenant", tenant=tenant)
    assert await get(request_) == before, "it is read from Redis"
    assert await get(request_, metadata=STRONG) != before
