"""BatchSetDataCache, BatchGetDataCache, ClearDataCache: many keys at once."""

import asyncio
import random
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from vwed.v1.cache_service_pb2 import (
    BatchGetDataCacheRequest,
    BatchGetDataCacheResponse,
    BatchSetDataCacheRequest,
    BatchSetDataCacheResponse,
    ClearDataCacheRequest,
    ListDataCacheRequest,
    SetDataCacheRequest,
)
from vwed.v1.common_pb2 import View
from vwed.v1.data_cache_pb2 import DataCache

from tests.support.calls import (
    create_def,
    create_run,
    finish_run,
    get_entry,
    set_entry,
    start_run,
)
from tests.support.refusals import read_refusal, refusal
from tests.support.waiting import PATIENCE
from vwed.client import Client, connect
from vwed_grpc.server import serving
from vwed_grpc.settings import Settings

MIB = 1 << 20


@pytest.fixture
async def run(client: Client) -> str:
    return (await create_run(client, (await create_def(client)).id)).id


def one(run: str, key: str, value: Any = 1, **options: Any) -> SetDataCacheRequest:
    kind = "int_value" if isinstance(value, int) else "string_value"
    entry = DataCache(task_record_id=run, key=key, **{kind: value})
    return SetDataCacheRequest(data_cache=entry, **options)


async def set_all(
    client: Client, run: str, *requests: SetDataCacheRequest
) -> BatchSetDataCacheResponse:
    request = BatchSetDataCacheRequest(task_record_id=run, requests=requests)
    return await client.cache.BatchSetDataCache(request)


async def get_all(
    client: Client, run: str, *keys: str, view: View.ValueType = View.VIEW_FULL
) -> BatchGetDataCacheResponse:
    request = BatchGetDataCacheRequest(task_record_id=run, keys=keys, view=view)
    return await client.cache.BatchGetDataCache(request)


async def clear(client: Client, run: str, prefix: str = "") -> int:
    request = ClearDataCacheRequest(task_record_id=run, key_prefix=prefix)
    return (await client.cache.ClearDataCache(request)).deleted_count


async def keys_of(client: Client, run: str) -> list[str]:
    listed = await client.cache.ListDataCache(
        ListDataCacheRequest(task_record_id=run, page_size=1000)
    )
    return [entry.key for entry in listed.data_caches]


# BatchSet


async def test_a_batch_answers_in_order_without_values(client: Client, run: str) -> None:
    requests = [one(run, key, key, ttl=Duration(seconds=60)) for key in ("b", "a", "c")]
    answer = await set_all(client, run, *requests)
    assert [entry.key for entry in answer.data_caches] == ["b", "a", "c"]
    for entry in answer.data_caches:
        assert entry.WhichOneof("value") is None
        full = await get_entry(client, run, entry.key)
        assert full.string_value == entry.key
        full.ClearField("value")
        assert full == entry


async def test_a_thousand(client: Client, run: str) -> None:
    requests = [one(run, f"k{n:04}", n, if_absent=True) for n in range(1000)]
    random.shuffle(requests)
    await set_all(client, run, *requests)
    found = await get_all(client, run, *(f"k{n:04}" for n in range(1000)))
    assert [entry.int_value for entry in found.data_caches] == list(range(1000))


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"key": "there", "if_absent": True}, "KEY_EXISTS"),
        ({"key": "there", "if_version": 1 << 60}, "VERSION_MISMATCH"),
        ({"key": "there", "if_version": 0}, "VERSION_MISMATCH"),
        ({"key": "new", "if_version": 1}, "KEY_ABSENT"),
        ({"key": "new", "if_version": 0}, "KEY_ABSENT"),
    ],
)
async def test_one_failed_precondition_writes_nothing(
    client: Client, run: str, bad: dict[str, Any], reason: str
) -> None:
    stored = await set_entry(client, run, "there", int_value=7)
    requests = [one(run, "a"), one(run, **bad), one(run, "z", if_absent=True)]
    refused = await refusal(set_all(client, run, *requests))
    assert (refused.code, refused.reason) == ("FAILED_PRECONDITION", reason)
    assert refused.metadata["key"] == bad["key"]
    assert await keys_of(client, run) == ["there"]
    assert await get_entry(client, run, "there") == stored


async def test_all_preconditions_hold(client: Client, run: str) -> None:
    a = await set_entry(client, run, "a", int_value=1)
    answer = await set_all(
        client, run, one(run, "b", if_absent=True), one(run, "a", 2, if_version=a.version)
    )
    assert answer.data_caches[1].version > a.version
    assert answer.data_caches[1].id == a.id
    assert (await get_entry(client, run, "a")).int_value == 2


async def test_what_is_wrong_is_said_by_its_path(client: Client, run: str) -> None:
    other = (await create_run(client, (await create_def(client, "other")).id)).id
    empty = SetDataCacheRequest(data_cache=DataCache(task_record_id=run, key="v"))
    refused = await refusal(
        set_all(client, run, one(run, "a"), one(other, "b"), one(run, "a"), empty)
    )
    assert refused.code == "INVALID_ARGUMENT"
    assert refused.fields == [
        "requests[1].data_cache.task_record_id",
        "requests[2].data_cache.key",
        "requests[3].data_cache.value",
    ]
    past = one(run, "a", expire_time=Timestamp(seconds=1))
    refused = await refusal(set_all(client, run, one(run, "b"), past))
    assert (refused.code, refused.fields) == ("INVALID_ARGUMENT", ["requests[1].expire_time"])
    assert await keys_of(client, run) == []


async def test_the_batch_names_the_run_for_all(client: Client, run: str) -> None:
    answer = await set_all(client, run, one("", "a"), one(run, "b"))
    assert [entry.task_record_id for entry in answer.data_caches] == [run, run]
    assert await keys_of(client, run) == ["a", "b"]


async def test_a_missing_run_and_a_final_one(client: Client, run: str) -> None:
    refused = await refusal(set_all(client, "no-such-run", one("no-such-run", "a")))
    assert (refused.code, refused.reason) == ("NOT_FOUND", "TASK_RECORD_NOT_FOUND")
    refused = await refusal(set_all(client, "no-such-run", one("no-such-run", "a", if_version=3)))
    assert (refused.code, refused.reason) == ("NOT_FOUND", "TASK_RECORD_NOT_FOUND")
    await start_run(client, run)
    await finish_run(client, run)
    await set_all(client, run, one(run, "a"))


async def test_batches_at_once_are_seen_whole(
    client: Client, settings: Settings, tenant: str, run: str
) -> None:
    """Writers name the keys in any order; no reader sees a mixture, nobody deadlocks."""
    keys = [f"k{n}" for n in range(8)]
    done = False

    async def write(through: Client, writer: int) -> None:
        for n in range(12):
            value = writer * 100 + n
            shuffled = random.sample(keys, len(keys))
            await set_all(through, run, *(one(run, key, value) for key in shuffled))

    async def read() -> int:
        mixtures = 0
        while not done:
            found = await get_all(client, run, *keys)
            mixtures += len({entry.int_value for entry in found.data_caches}) > 1
        return mixtures

    async with (
        serving(settings) as port,
        connect(f"127.0.0.1:{port}", tenant=tenant, bare=True) as other,
    ):
        reader = asyncio.create_task(read())
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*(write((client, other)[n % 2], n) for n in range(6)))
        done = True
        assert await reader == 0


async def test_of_batches_that_create_the_same_one_wins(client: Client, run: str) -> None:
    keys = [f"k{n}" for n in range(10)]

    async def create(writer: int) -> str:
        shuffled = random.sample(keys, len(keys))
        try:
            await set_all(client, run, *(one(run, key, writer, if_absent=True) for key in shuffled))
        except grpc.aio.AioRpcError as error:
            return read_refusal(error).reason
        return "won"

    outcomes = await asyncio.gather(*(create(n) for n in range(8)))
    assert sorted(outcomes) == ["KEY_EXISTS"] * 7 + ["won"]
    found = await get_all(client, run, *keys)
    assert {entry.int_value for entry in found.data_caches} == {outcomes.index("won")}


# BatchGet


async def test_a_batch_get_answers_in_the_order_of_the_request(client: Client, run: str) -> None:
    for key in ("a", "b", "c"):
        await set_entry(client, run, key, string_value=key)
    await set_entry(client, run, "gone", string_value="x", ttl=Duration(nanos=1_000_000))
    await asyncio.sleep(0.01)
    found = await get_all(client, run, "c", "gone", "a", "never")
    assert [entry.key for entry in found.data_caches] == ["c", "a"]
    assert [entry.string_value for entry in found.data_caches] == ["c", "a"]
    assert list(found.missing_keys) == ["gone", "never"]
    basic = await get_all(client, run, "a", view=View.VIEW_UNSPECIFIED)
    [entry] = basic.data_caches
    assert entry.WhichOneof("value") is None
    assert entry.type
    assert entry.version


async def test_a_batch_get_above_4_mib_is_refused(client: Client, run: str) -> None:
    for n in range(5):
        await set_entry(client, run, f"k{n}", bytes_value=bytes(MIB))
    keys = [f"k{n}" for n in range(5)]
    refused = await refusal(get_all(client, run, *keys))
    assert (refused.code, refused.reason) == ("RESOURCE_EXHAUSTED", "RESPONSE_TOO_LARGE")
    assert len((await get_all(client, run, *keys, view=View.VIEW_BASIC)).data_caches) == 5
    assert len((await get_all(client, run, *keys[:3])).data_caches) == 3


# Clear


async def test_clear_takes_a_prefix_literally(client: Client, run: str) -> None:
    for key in ("a_1", "a%1", "ab1", "b", "a_2"):
        await set_entry(client, run, key, int_value=1)
    assert await clear(client, run, "a_") == 2
    assert await keys_of(client, run) == ["a%1", "ab1", "b"]
    assert await clear(client, run) == 3
    assert await clear(client, run) == 0
    assert await keys_of(client, run) == []


async def test_cleared_entries_are_not_read_from_the_cache(client: Client, run: str) -> None:
    other = (await create_run(client, (await create_def(client, "other")).id)).id
    for where in (run, other):
        await set_entry(client, where, "a", int_value=1)
        await get_entry(client, where, "a")
    assert await clear(client, run) == 1
    assert (await refusal(get_entry(client, run, "a"))).code == "NOT_FOUND"
    assert (await get_entry(client, other, "a")).int_value == 1


async def test_clear_of_many(client: Client, run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vwed_grpc.storage.data_cache.CLEARED_AT_ONCE", 100)
    await set_all(client, run, *(one(run, f"k{n}") for n in range(250)))
    assert await clear(client, run, "k") == 250
    assert await keys_of(client, run) == []


async def test_clear_of_a_missing_run(client: Client) -> None:
    assert (await refusal(clear(client, "no-such-run"))).code == "NOT_FOUND"
