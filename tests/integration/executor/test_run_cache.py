"""A run's cache, from its code."""

from vwed.v1.cache_service_pb2 import ListDataCacheRequest

from tests.support.calls import get_entry
from tests.support.executors import TASK_TYPE, content, order
from vwed.client import Client, Executor, Run
from vwed_grpc.domain.lifecycle import SUCCEEDED


async def test_entries_are_set_read_counted_and_deleted(client: Client, executor: Executor) -> None:
    @executor.task(task_types=[TASK_TYPE])
    async def transport(run: Run) -> dict[str, object]:
        cache = run.cache
        await cache.set("station", "P-07")
        await cache.set("route", {"via": ["A", "B"]}, ttl=60)
        await cache.set("gone", 1)
        await cache.delete("gone")
        await cache.delete("never there")
        return {
            "station": await cache.get("station"),
            "route": await cache.get("route"),
            "gone": await cache.get("gone", "nothing"),
            "unset": await cache.get("unset"),
            "first": await cache.increment("n"),
            "second": await cache.increment("n", 41),
            "from": await cache.increment("m", 1, 10),
        }

    done = await executor.run_once(await order(client))
    assert done.status == SUCCEEDED, done.error_message
    assert content(done.result) == {
        "station": "P-07",
        "route": {"via": ["A", "B"]},
        "gone": "nothing",
        "unset": None,
        "first": 1,
        "second": 42,
        "from": 11,
    }
    assert (await get_entry(client, done.id, "n")).int_value == 42
    entries = await client.cache.ListDataCache(ListDataCacheRequest(task_record_id=done.id))
    expiring = [entry.key for entry in entries.data_caches if entry.HasField("expire_time")]
    assert expiring == ["route"]
