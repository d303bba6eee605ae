"""IncrementDataCache: no count is lost, none is counted twice."""

import asyncio
import uuid
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from vwed.v1.cache_service_pb2 import DeleteDataCacheRequest, IncrementDataCacheRequest
from vwed.v1.data_cache_pb2 import DataCache

from tests.support.calls import create_def, create_run, get_entry, set_entry
from tests.support.refusals import refusal
from vwed.client import Client, connect
from vwed_grpc.server import serving
from vwed_grpc.settings import Settings

GREATEST = 2**63 - 1


@pytest.fixture
async def run(client: Client) -> str:
    return (await create_run(client, (await create_def(client)).id)).id


async def increment(client: Client, run: str, key: str, **asked: Any) -> DataCache:
    request = IncrementDataCacheRequest(task_record_id=run, key=key, **asked)
    return await client.cache.IncrementDataCache(request)


async def test_an_absent_key_starts_from_initial(client: Client, run: str) -> None:
    assert (await increment(client, run, "n", int_delta=2, initial=40)).int_value == 42
    assert (await increment(client, run, "n", int_delta=2, initial=40)).int_value == 44
    assert (await increment(client, run, "d", double_delta=0.5)).double_value == 0.5


async def test_64_bits_are_exact(client: Client, run: str) -> None:
    await set_entry(client, run, "n", int_value=GREATEST - 1)
    assert (await increment(client, run, "n", int_delta=1)).int_value == GREATEST
    assert (await get_entry(client, run, "n")).int_value == GREATEST


async def test_a_hundred_at_once_through_two_replicas(
    client: Client, settings: Settings, tenant: str, run: str
) -> None:
    """Nobody made the entry before: all of them would."""
    async with (
        serving(settings) as port,
        connect(f"127.0.0.1:{port}", tenant=tenant, bare=True) as other,
    ):
        answers = await asyncio.gather(
            *(increment((client, other)[n % 2], run, "n", int_delta=1) for n in range(100))
        )
        assert sorted(answer.int_value for answer in answers) == list(range(1, 101))
        assert len({answer.version for answer in answers}) == 100
        by_version = sorted(answers, key=lambda answer: answer.version)
        assert by_version[-1].int_value == 100
        assert await get_entry(client, run, "n") == by_version[-1]
        assert await get_entry(other, run, "n") == by_version[-1]


async def test_sets_and_increments_at_once_take_effect_in_the_order_of_versions(
    client: Client, run: str
) -> None:
    answers = await asyncio.gather(
        *(increment(client, run, "n", int_delta=1) for _ in range(30)),
        *(set_entry(client, run, "n", int_value=1000 * n) for n in range(1, 11)),
    )
    expected = 0
    sets = {1000 * n for n in range(1, 11)}
    for answer in sorted(answers, key=lambda answer: answer.version):
        expected = answer.int_value if answer.int_value in sets else expected + 1
        assert answer.int_value == expected


@pytest.mark.parametrize(
    ("value", "asked", "reason"),
    [
        ({"string_value": "1"}, {"int_delta": 1}, "WRONG_TYPE"),
        ({"double_value": 1}, {"int_delta": 1}, "WRONG_TYPE"),
        ({"int_value": 1}, {"double_delta": 1}, "WRONG_TYPE"),
        ({"int_value": GREATEST}, {"int_delta": 1}, "OVERFLOW"),
        ({"int_value": -GREATEST}, {"int_delta": -2}, "OVERFLOW"),
        ({"double_value": 1.7e308}, {"double_delta": 1.7e308}, "OVERFLOW"),
    ],
)
async def test_what_would_not_be_exact_is_refused_and_nothing_written(
    client: Client, run: str, value: dict[str, Any], asked: dict[str, Any], reason: str
) -> None:
    stored = await set_entry(client, run, "n", **value)
    refused = await refusal(increment(client, run, "n", **asked))
    assert (refused.code, refused.reason) == ("FAILED_PRECONDITION", reason)
    assert await get_entry(client, run, "n") == stored


async def test_an_overflow_of_the_initial_creates_nothing(client: Client, run: str) -> None:
    refused = await refusal(increment(client, run, "n", int_delta=1, initial=GREATEST))
    assert (refused.code, refused.reason) == ("FAILED_PRECONDITION", "OVERFLOW")
    assert (await refusal(get_entry(client, run, "n"))).code == "NOT_FOUND"


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({}, "int_delta"),
        ({"int_delta": 1, "double_initial": 1}, "double_initial"),
        ({"double_delta": float("inf")}, "double_delta"),
        ({"int_delta": 1, "request_id": "no uuid"}, "request_id"),
    ],
)
async def test_what_cannot_be_asked(
    client: Client, run: str, asked: dict[str, Any], field: str
) -> None:
    refused = await refusal(increment(client, run, "n", **asked))
    assert (refused.code, refused.fields) == ("INVALID_ARGUMENT", [field])


async def test_a_missing_run(client: Client) -> None:
    refused = await refusal(increment(client, "no-such-run", "n", int_delta=1))
    assert (refused.code, refused.reason) == ("NOT_FOUND", "TASK_RECORD_NOT_FOUND")


async def test_the_expiration_stays(client: Client, run: str) -> None:
    stored = await set_entry(client, run, "n", int_value=1, ttl=Duration(seconds=60))
    assert (await increment(client, run, "n", int_delta=1)).expire_time == stored.expire_time


# request_id


async def test_the_same_request_again_answers_the_present_state(client: Client, run: str) -> None:
    request_id = str(uuid.uuid4())
    first = await increment(client, run, "n", int_delta=5, request_id=request_id)
    assert await increment(client, run, "n", int_delta=5, request_id=request_id) == first
    later = await increment(client, run, "n", int_delta=1)
    assert await increment(client, run, "n", int_delta=5, request_id=request_id) == later
    assert await get_entry(client, run, "n") == later
    refused = await refusal(increment(client, run, "n", int_delta=6, request_id=request_id))
    assert (refused.code, refused.reason) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")


async def test_the_same_request_after_the_entry_is_gone(client: Client, run: str) -> None:
    request_id = str(uuid.uuid4())
    await increment(client, run, "n", int_delta=5, request_id=request_id)
    await client.cache.DeleteDataCache(DeleteDataCacheRequest(task_record_id=run, key="n"))
    refused = await refusal(increment(client, run, "n", int_delta=5, request_id=request_id))
    assert refused.code == "NOT_FOUND"


async def test_duplicates_at_once_count_once(client: Client, run: str) -> None:
    request_id = str(uuid.uuid4())
    answers = await asyncio.gather(
        *(increment(client, run, "n", int_delta=1, request_id=request_id) for _ in range(16))
    )
    assert all(answer == answers[0] for answer in answers)
    assert answers[0].int_value == 1


async def test_a_refused_increment_may_be_tried_again(client: Client, run: str) -> None:
    request_id = str(uuid.uuid4())
    await set_entry(client, run, "n", string_value="x")
    await refusal(increment(client, run, "n", int_delta=1, request_id=request_id))
    await set_entry(client, run, "n", int_value=1)
    assert (await increment(client, run, "n", int_delta=1, request_id=request_id)).int_value == 2
