"""However many read a cold entry at once, each process asks PostgreSQL once."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from vwed.v1.data_cache_pb2 import DataCache

from tests.support.calls import create_def, create_run, get_entry, set_entry
from tests.support.waiting import until_true
from vwed.client import Client, connect
from vwed_grpc.cache.read_through import ReadThrough
from vwed_grpc.server import serving
from vwed_grpc.settings import Settings
from vwed_grpc.storage import data_cache
from vwed_grpc.storage.pool import ReadingPool


class Loads:
    """Of entries, in all processes that a test starts; none is answered before `go_on`."""

    def __init__(self) -> None:
        self.asked: Counter[ReadingPool] = Counter()
        """How often each process's pool was asked."""
        self.caches: list[ReadThrough] = []
        self.go_on = asyncio.Event()

    async def until_come(self, readers: int) -> None:
        """Until so many have begun a load or wait for one; then loads go on."""

        def come() -> bool:
            joined = sum(cache.counters.joined for cache in self.caches)
            return joined + self.asked.total() >= readers

        await until_true(come, what="the last reader")
        self.go_on.set()


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Loads:
    loads = Loads()
    fetch, open_cache = ReadingPool.fetch, ReadThrough.__aenter__

    async def counted(self: ReadingPool, statement: Any, *rest: Any) -> Any:
        rows = await fetch(self, statement, *rest)
        if statement is data_cache.GET:
            loads.asked[self] += 1
            await loads.go_on.wait()
        return rows

    async def noted(self: ReadThrough) -> ReadThrough:
        loads.caches.append(self)
        return await open_cache(self)

    monkeypatch.setattr(ReadingPool, "fetch", counted)
    monkeypatch.setattr(ReadThrough, "__aenter__", noted)
    return loads


@pytest.mark.parametrize("absent", [True, False])
async def test_a_hundred_gets_of_a_cold_key_make_one_select_a_process(
    settings: Settings, client: Client, tenant: str, loads: Loads, absent: bool
) -> None:
    run = (await create_run(client, (await create_def(client)).id)).id
    if not absent:
        await set_entry(client, run, "cold", int_value=1)
    # A hundred at once may hold a busy machine for longer than a Redis has to answer.
    patient = settings.model_copy(update={"redis_url": f"{settings.redis_url}?socket_timeout=5"})
    async with (
        serving(patient) as one,
        serving(patient) as two,
        connect(f"127.0.0.1:{one}", tenant=tenant, bare=True) as first,
        connect(f"127.0.0.1:{two}", tenant=tenant, bare=True) as second,
    ):
        gets = (get_entry(through, run, "cold") for through in [first, second] * 100)
        answering = asyncio.gather(*gets, return_exceptions=True)
        await loads.until_come(200)
        answers = await answering
    found = {isinstance(answer, DataCache) for answer in answers}
    assert found == {not absent}
    assert list(loads.asked.values()) == [1, 1]


async def test_without_redis_those_who_come_during_a_load_share_the_next(
    settings: Settings, client: Client, tenant: str, loads: Loads
) -> None:
    """Nothing tells whether the load that is under way began after the last write."""
    run = (await create_run(client, (await create_def(client)).id)).id
    await set_entry(client, run, "cold", int_value=1)
    alone = settings.model_copy(update={"redis_url": "none"})
    async with (
        serving(alone) as port,
        connect(f"127.0.0.1:{port}", tenant=tenant, bare=True) as through,
    ):
        answering = asyncio.gather(*(get_entry(through, run, "cold") for _ in range(100)))
        await loads.until_come(95)  # some have yet to begin a load that others share
        answers = await answering
    assert {answer.int_value for answer in answers} == {1}
    assert loads.asked.total() <= 5
