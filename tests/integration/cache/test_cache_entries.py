"""The data cache: typed values, versions, preconditions, expiry, whose it is."""

import asyncio
import time
from contextlib import suppress
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import ListValue, NullValue, Value
from google.protobuf.timestamp_pb2 import Timestamp
from vwed.v1.cache_service_pb2 import (
    ClearDataCacheRequest,
    GetDataCacheRequest,
    IncrementDataCacheRequest,
    ListDataCacheRequest,
    TouchDataCacheRequest,
)
from vwed.v1.common_pb2 import View
from vwed.v1.data_cache_pb2 import DataCacheType
from vwed.v1.record_service_pb2 import DeleteTaskRecordRequest

from tests.support.calls import (
    create_def,
    create_run,
    delete_entry,
    finish_run,
    get_entry,
    json_object,
    set_entry,
    start_run,
)
from tests.support.refusals import Refusal, refusal
from vwed.client import Client, connect

STRONG = (("x-vwed-consistency", "strong"),)
DAY = 86_400


@pytest.fixture
async def run(client: Client) -> str:
    return (await create_run(client, (await create_def(client)).id)).id


async def keys(client: Client, run: str, prefix: str = "") -> list[str]:
    request = ListDataCacheRequest(task_record_id=run, key_prefix=prefix, include_total=True)
    answer = await client.cache.ListDataCache(request)
    assert answer.total_size == len(answer.data_caches)
    return [entry.key for entry in answer.data_caches]


def ttl(seconds: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(int(seconds * 1e9))
    return duration


def expect_absent(refused: Refusal) -> None:
    assert (refused.code, refused.reason) == ("NOT_FOUND", "DATA_CACHE_NOT_FOUND")


VALUES: dict[str, list[Any]] = {
    "string_value": ["", "料箱", "a\nb", "x" * (1 << 20)],
    "int_value": [0, -1, 2**53 + 1, 2**63 - 1, -(2**63)],
    "double_value": [0.0, 0.1, -1e308, float("inf")],
    "bool_value": [False, True],
    "bytes_value": [b"", b"\0\xff\0", bytes(1 << 20)],
    "json_value": [
        Value(null_value=NullValue.NULL_VALUE),
        Value(number_value=0.5),
        Value(string_value=""),
        Value(struct_value=json_object(a=[1, {"b": None}])),
        Value(list_value=ListValue()),
    ],
    "time_value": [Timestamp(), Timestamp(seconds=-62_135_596_800), Timestamp(nanos=1_000)],
}


@pytest.mark.parametrize("field", VALUES)
async def test_values_come_back_as_they_were(client: Client, run: str, field: str) -> None:
    for n, value in enumerate(VALUES[field]):
        given = {field: value}
        written = await set_entry(client, run, f"key-{n}", **given)
        assert written.WhichOneof("value") == field
        assert getattr(written, field) == value
        assert DataCacheType.Name(written.type) == f"DATA_CACHE_TYPE_{field.upper()}"
        assert await get_entry(client, run, f"key-{n}") == written
        request = GetDataCacheRequest(task_record_id=run, key=f"key-{n}")
        assert await client.cache.GetDataCache(request, metadata=STRONG) == written
        assert await get_entry(client, run, f"key-{n}") == written  # by now from the cache


async def test_a_set_replaces_value_type_and_expiration(client: Client, run: str) -> None:
    first = await set_entry(client, run, "k", int_value=1, ttl=ttl(DAY))
    assert first.HasField("expire_time")
    second = await set_entry(client, run, "k", string_value="one")
    assert second.WhichOneof("value") == "string_value"
    assert not second.HasField("expire_time")
    assert (second.id, second.create_time) == (first.id, first.create_time)
    assert second.version > first.version
    assert await get_entry(client, run, "k") == second
    # Also if it is the same again.
    third = await set_entry(client, run, "k", string_value="one")
    assert third.version > second.version


async def test_keys_are_any_text_of_up_to_256_characters(client: Client, run: str) -> None:
    wanted = sorted(["箱" * 256, "a b", "%", "_", "a/b", "A", "ä", "\n", "'"])
    for key in wanted:
        await set_entry(client, run, key, bool_value=True)
    assert await keys(client, run) == wanted


async def test_a_list_takes_the_keys_under_a_prefix(client: Client, run: str) -> None:
    for key in ("ab", "a_1", "a%1", "A", "b"):
        await set_entry(client, run, key, bool_value=True)
    for prefix, found in (
        ("", ["A", "a%1", "a_1", "ab", "b"]),
        ("a", ["a%1", "a_1", "ab"]),
        ("a_", ["a_1"]),
        ("a%", ["a%1"]),
        ("%", []),
    ):
        assert await keys(client, run, prefix) == found


async def test_deleted_is_absent(client: Client, run: str) -> None:
    await set_entry(client, run, "k", int_value=1)
    await get_entry(client, run, "k")
    await delete_entry(client, run, "k")
    expect_absent(await refusal(get_entry(client, run, "k")))
    expect_absent(await refusal(delete_entry(client, run, "k")))
    assert await keys(client, run) == []
    await set_entry(client, run, "k", int_value=2)  # over the remembered absence
    assert (await get_entry(client, run, "k")).int_value == 2


async def test_an_expiration_is_the_databases_now_and_the_ttl(client: Client, run: str) -> None:
    entry = await set_entry(client, run, "k", int_value=1, ttl=ttl(366 * DAY))
    began = entry.expire_time.ToNanoseconds() - 366 * DAY * 10**9
    assert 0 <= entry.update_time.ToNanoseconds() - began < 10**10
    at = Timestamp(seconds=int(time.time()) + 365 * DAY, nanos=123_456_000)
    assert (await set_entry(client, run, "k", int_value=1, expire_time=at)).expire_time == at


@pytest.mark.parametrize("lasts", [0.3, 1.6])
async def test_expired_is_absent_in_every_call_and_never_early(
    client: Client, run: str, lasts: float
) -> None:
    """0.3 s is answered by PostgreSQL alone, 1.6 s by Redis at first."""
    clock = asyncio.get_running_loop().time
    earliest = clock() + lasts
    entry = await set_entry(client, run, "k", int_value=1, ttl=ttl(lasts))
    latest = clock() + lasts
    while clock() < earliest:
        try:
            assert await get_entry(client, run, "k") == entry
        except grpc.aio.AioRpcError:
            assert clock() >= earliest  # it took so long to ask
        await asyncio.sleep(0.02)
    await asyncio.sleep(max(0.0, latest - clock()))
    expect_absent(await refusal(get_entry(client, run, "k")))
    assert await keys(client, run) == []
    expect_absent(await refusal(delete_entry(client, run, "k")))
    missed = await refusal(set_entry(client, run, "k", int_value=2, if_version=entry.version))
    assert missed.code == "FAILED_PRECONDITION"
    again = await set_entry(client, run, "k", int_value=3, if_absent=True)
    assert again.version > entry.version
    assert again.id != entry.id
    assert again.create_time == again.update_time
    assert await get_entry(client, run, "k") == again


async def test_writing_to_a_missing_run_is_not_found(client: Client) -> None:
    refused = await refusal(set_entry(client, "nowhere", "k", int_value=1))
    assert (refused.code, refused.reason) == ("NOT_FOUND", "TASK_RECORD_NOT_FOUND")


async def test_writing_to_a_final_run_is_allowed(client: Client, run: str) -> None:
    await start_run(client, run)
    await set_entry(client, run, "k", int_value=1)
    await finish_run(client, run)
    assert (await set_entry(client, run, "k", int_value=2)).int_value == 2
    assert (await get_entry(client, run, "k")).int_value == 2
    named: dict[str, Any] = {"task_record_id": run, "key": "k"}
    counted = await client.cache.IncrementDataCache(IncrementDataCacheRequest(int_delta=1, **named))
    touched = await client.cache.TouchDataCache(TouchDataCacheRequest(ttl=ttl(DAY), **named))
    assert (counted.int_value, touched.HasField("expire_time")) == (3, True)
    await delete_entry(client, run, "k")
    expect_absent(await refusal(get_entry(client, run, "k")))
    await set_entry(client, run, "k", int_value=2, if_absent=True)
    cleared = await client.cache.ClearDataCache(ClearDataCacheRequest(task_record_id=run))
    assert cleared.deleted_count == 1


async def test_entries_go_with_their_run(client: Client, run: str) -> None:
    await set_entry(client, run, "k", int_value=1)
    await get_entry(client, run, "k")
    await client.records.DeleteTaskRecord(DeleteTaskRecordRequest(id=run, force=True))
    expect_absent(await refusal(get_entry(client, run, "k")))


async def test_nothing_crosses_tenants_or_runs(
    client: Client, run: str, target: str, tenant: str
) -> None:
    other_run = (await create_run(client, (await create_def(client, "other")).id)).id
    await set_entry(client, run, "k", int_value=1)
    expect_absent(await refusal(get_entry(client, other_run, "k")))
    async with connect(target, tenant=f"{tenant}-2", bare=True) as other:
        expect_absent(await refusal(get_entry(other, run, "k")))
        assert (await refusal(set_entry(other, run, "k", int_value=2))).code == "NOT_FOUND"
        expect_absent(await refusal(delete_entry(other, run, "k")))
    assert (await get_entry(client, run, "k")).int_value == 1


async def test_every_read_sees_the_write_that_was_answered(client: Client, run: str) -> None:
    """While another reads the same key all the time, so that Redis is filled again and again."""
    done = asyncio.Event()

    async def read_on() -> None:
        while not done.is_set():
            with suppress(grpc.aio.AioRpcError):  # absent now and then
                await get_entry(client, run, "k")

    readers = [asyncio.create_task(read_on()) for _ in range(3)]
    try:
        for n in range(20):
            written = await set_entry(client, run, "k", int_value=n)
            assert await get_entry(client, run, "k") == written
            if n % 3 == 2:
                await delete_entry(client, run, "k")
                expect_absent(await refusal(get_entry(client, run, "k")))
    finally:
        done.set()
        await asyncio.gather(*readers)


async def test_a_full_list_has_the_values(client: Client, run: str) -> None:
    entries = [await set_entry(client, run, f"k{n}", int_value=n) for n in range(3)]
    request = ListDataCacheRequest(task_record_id=run, view=View.VIEW_FULL)
    assert list((await client.cache.ListDataCache(request)).data_caches) == entries
