"""Reading, once for all watchers of a run, what no wake-up brought along."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.support.steps import running
from vwed_grpc.cache.keys import GENERATION, KeySpace
from vwed_grpc.client import Client
from vwed_grpc.storage.connector import Connector
from vwed_grpc.storage.events import Event, Kind
from vwed_grpc.storage.pool import ReadingPool
from vwed_grpc.watching.catch_up import CatchUp
from vwed_grpc.watching.hub import Hub
from vwed_grpc.watching.wakeups import Wakeups


@pytest.fixture
async def hub(database_url: str) -> AsyncIterator[Hub]:
    pool = ReadingPool(Connector(database_url), connections=2, reads=2)
    yield Hub(pool, Wakeups(None), KeySpace(GENERATION, "test"), CatchUp())
    await pool.close()


async def test_one_read_serves_all_who_wait(client: Client, tenant: str, hub: Hub) -> None:
    run = await running(client)
    with hub.topic(tenant, run.id) as topic:
        topic.begin(1)
        topic.learn(2)
        filling = [asyncio.create_task(hub.fill(tenant, run.id, topic)) for _ in range(5)]
        await asyncio.sleep(0)
        reading = topic.filling
        await asyncio.gather(*filling)
        assert topic.filling is reading
        assert topic.end == 2


async def test_who_wakes_as_a_read_ends_begins_another(
    client: Client, tenant: str, hub: Hub
) -> None:
    """One that awaits what is done does not let the loop go on: nobody would be served again."""
    run = await running(client)
    with hub.topic(tenant, run.id) as topic, topic.sleep() as sleep:
        topic.begin(1)
        topic.learn(2)
        await sleep.until(0)  # that it has learned so much is no news

        async def woken() -> None:
            await sleep.until(asyncio.get_running_loop().time() + 5)
            topic.learn(3)
            await hub.fill(tenant, run.id, topic)

        waking = asyncio.create_task(woken())
        await asyncio.sleep(0)
        await hub.fill(tenant, run.id, topic)
        await waking
        assert topic.end == 3  # it looked: there is no third event


async def test_a_read_that_a_wake_up_made_needless_passes_nothing_over(
    client: Client, tenant: str, hub: Hub
) -> None:
    """A watcher asks for what it heard of; the event itself arrives before the reading begins."""
    run = await running(client)
    with hub.topic(tenant, run.id) as topic:
        topic.begin(1)
        topic.learn(2)
        filling = asyncio.create_task(hub.fill(tenant, run.id, topic))
        await asyncio.sleep(0)
        topic.extend([Event(2, 2, Kind.RUN, b"", None)])
        await filling
        batch = topic.after(1, full=False)
        assert batch is not None
        assert batch.end == 2
