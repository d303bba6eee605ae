"""However many read a cold entry at once, each process asks PostgreSQL once."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from vwed.v1.data_cache_pb2 import DataCache

from tests.support.calls import create_def, create_run, get_entry, set_entry
from vwed_grpc.client import Client, connect
from vwed_grpc.server import serving
from vwed_grpc.settings import Settings
from vwed_grpc.storage import data_cache
from vwed_grpc.storage.pool import ReadingPool


@pytest.fixture
def selects(monkeypatch: pytest.MonkeyPatch) -> Counter[ReadingPool]:
    """How often each process's pool was asked for an entry; the answers take their time."""
    asked: Counter[ReadingPool] = Counter()
    fetch = ReadingPool.fetch

    async def counted(self: ReadingPool, statement: Any, *rest: Any) -> Any:
        rows = await fetch(self, statement, *rest)
        if statement is data_cache.GET:
            asked[self] += 1
            await asyncio.sleep(0.5)  # until all have come
        return rows

    monkeypatch.setattr(ReadingPool, "fetch", counted)
    return asked


@pytest.mark.parametrize("absent", [True, False])
async def test_a_hundred_gets_of_a_cold_key_make_one_select_a_process(
    settings: Settings, client: Client, tenant: str, selects: Counter[ReadingPool], absent: bool
) -> None:
    run = (await create_run(client, (await create_def(client)).id)).id
    if not absent:
        await set_entry(client, run, "cold", int_value=1)
    # A hundred at once may hold a busy machine for longer than a Redis has to answer.
    patient = settings.model_copy(update={"redis_url": f"{settings.redis_url}?socket_timeout=5"})
    async with (
        serving(patient) as one,
        serving(patient) as two,
        connect(f"127.0.0.1:{one}", tenant=tenant) as first,
        connect(f"127.0.0.1:{two}", tenant=tenant) as second,
    ):
        gets = (get_entry(through, run, "cold") for through in [first, second] * 100)
        answers = await asyncio.gather(*gets, return_exceptions=True)
    found = {isinstance(answer, DataCache) for answer in answers}
    assert found == {not absent}
    assert list(selects.values()) == [1, 1]


async def test_without_redis_those_who_come_during_a_load_share_the_next(
    settings: Settings, client: Client, tenant: str, selects: Counter[ReadingPool]
) -> None:
    """Nothing tells whether the load that is under way began after the last write."""
    run = (await create_run(client, (await create_def(client)).id)).id
    await set_entry(client, run, "cold", int_value=1)
    alone = settings.model_copy(update={"redis_url": "none"})
    async with serving(alone) as port, connect(f"127.0.0.1:{port}", tenant=tenant) as through:
        answers = await asyncio.gather(*(get_entry(through, run, "cold") for _ in range(100)))
    assert {answer.int_value for answer in answers} == {1}
    assert sum(selects.values()) <= 5
