"""A pool's connections are taken in turn, by a bounded queue, which is not waited in for long."""

import asyncio

import pytest

from tests.support.waiting import PATIENCE
from vwed_grpc.domain.errors import Busy
from vwed_grpc.storage import connection_queue
from vwed_grpc.storage.connection_queue import ConnectionQueue


async def _work(pool: ConnectionQueue, n: int, done: list[int], until: asyncio.Event) -> None:
    async with pool:
        await until.wait()
        done.append(n)


async def test_as_many_work_as_there_are_connections_and_the_others_in_turn() -> None:
    pool, done, go = ConnectionQueue("bulk", 2, PATIENCE), list[int](), asyncio.Event()
    working = [asyncio.create_task(_work(pool, n, done, go)) for n in range(6)]
    await asyncio.sleep(0)
    go.set()
    await asyncio.gather(*working)
    assert done == [*range(6)]


async def test_a_full_queue_refuses_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_queue, "QUEUED", 3)
    pool, done, go = ConnectionQueue("bulk", 1, PATIENCE), list[int](), asyncio.Event()
    working = [asyncio.create_task(_work(pool, n, done, go)) for n in range(4)]
    await asyncio.sleep(0)
    with pytest.raises(Busy) as refusal:
        async with pool:
            pass
    assert refusal.value.reason == "BULK_CONNECTIONS"
    assert refusal.value.retry_after
    working[2].cancel()  # whoever leaves makes room
    await asyncio.sleep(0)
    working.append(asyncio.create_task(_work(pool, 4, done, go)))
    await asyncio.sleep(0)
    go.set()
    await asyncio.gather(*working, return_exceptions=True)
    assert done == [0, 1, 3, 4]


async def test_who_waited_too_long_is_refused_and_takes_no_place() -> None:
    pool, go = ConnectionQueue("figures", 1, 0.05), asyncio.Event()
    working = asyncio.create_task(_work(pool, 0, [], go))
    await asyncio.sleep(0)
    with pytest.raises(Busy, match="figures"):
        async with pool:
            pass
    go.set()
    await working
    async with pool:
        pass
