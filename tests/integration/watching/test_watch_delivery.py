"""How events reach watchers: promptly, with and without Redis, and one watcher harms no other."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from statistics import median

import pytest
from vwed.v1.common_pb2 import View
from vwed.v1.record_service_pb2 import (
    FinishTaskRecordRequest,
    WatchTaskRecordRequest,
)

from tests.support.steps import block, history, report, running
from tests.support.waiting import promptly
from tests.support.watching import Watcher, watch_to_end, watching
from vwed.client import Client, connect
from vwed_grpc.domain import lifecycle
from vwed_grpc.domain.blocks import RUNNING
from vwed_grpc.server import serving
from vwed_grpc.settings import Settings


@asynccontextmanager
async def replica(settings: Settings, tenant: str, redis_url: str | None) -> AsyncIterator[Client]:
    """A client of one more server on the same database."""
    other = settings.model_copy(update={"redis_url": redis_url})
    async with (
        serving(other) as port,
        connect(f"127.0.0.1:{port}", tenant=tenant, bare=True) as client,
    ):
        yield client


async def finish(client: Client, run: str) -> None:
    await client.records.FinishTaskRecord(
        FinishTaskRecordRequest(id=run, status=lifecycle.SUCCEEDED)
    )


async def delays(writer: Client, run: str, seen: Watcher, times: int) -> list[float]:
    """Seconds from a report's answer to its event, several times."""
    loop = asyncio.get_running_loop()
    found = []
    for _ in range(times):
        seq = (await report(writer, run, block("a", message=uuid.uuid4().hex))).seqs[0]
        written = loop.time()
        await seen.reach(seq)
        found.append(seen.arrived[seq] - written)
    return found


async def typical_delay(writer: Client, run: str, seen: Watcher, times: int = 9) -> float:
    return median(await delays(writer, run, seen, times))


async def test_an_event_of_this_replica_arrives_at_once(client: Client) -> None:
    run = await running(client)
    async with watching(client, run.id, 2) as seen:
        await seen.until(lambda: True)
        await promptly(partial(typical_delay, client, run.id, seen), below=0.05)


async def test_an_event_of_another_replica_arrives_at_once_by_redis(
    client: Client, settings: Settings, tenant: str
) -> None:
    async with replica(settings, tenant, settings.redis_url) as other:
        run = await running(client)
        async with watching(client, run.id) as seen:
            await seen.reach(2)
            await promptly(partial(typical_delay, other, run.id, seen), below=0.1)


async def test_large_news_wake_watchers_of_another_replica(
    client: Client, settings: Settings, tenant: str
) -> None:
    async with replica(settings, tenant, settings.redis_url) as other:
        run = await running(client)
        async with watching(client, run.id, view=View.VIEW_FULL) as seen:
            await seen.reach(2)
            loop = asyncio.get_running_loop()

            async def delay() -> float:
                payload = {"x": uuid.uuid4().hex + "x" * 200_000}
                blocks = [block(f"b{n}", output_data=payload) for n in range(3)]
                seqs = (await report(other, run.id, *blocks)).seqs
                written = loop.time()
                await seen.reach(seqs[-1])
                return loop.time() - written

            await promptly(delay, below=1)
            assert seen.changes == await history(client, run.id, after_seq=2)


async def test_an_event_of_another_replica_arrives_within_1_s_without_redis(
    settings: Settings, tenant: str
) -> None:
    async with (
        replica(settings, tenant, "none") as one,
        replica(settings, tenant, "none") as other,
    ):
        run = await running(one)
        async with watching(one, run.id) as seen:
            await seen.reach(2)
            await promptly(partial(typical_delay, other, run.id, seen, 3), below=1)


async def test_a_lost_wake_up_costs_less_than_5_s(
    client: Client, settings: Settings, tenant: str
) -> None:
    """Even while other watches begin, each of which makes the server look for their own news."""
    async with replica(settings, tenant, "none") as silent:
        run, other = await running(client), await running(client)
        async with watching(client, run.id) as seen, AsyncExitStack() as others:
            await seen.reach(2)
            await asyncio.sleep(0.2)  # the subscription

            async def begin_watches() -> None:
                while True:
                    async with watching(client, other.id) as another:
                        await another.reach(2)
                        await asyncio.sleep(0.3)

            beginning = asyncio.create_task(begin_watches())
            others.callback(beginning.cancel)
            await promptly(partial(typical_delay, silent, run.id, seen, 1), below=5)


async def test_100_watchers_of_one_run_see_the_same(client: Client) -> None:
    run = await running(client)
    async with AsyncExitStack() as stack:
        watchers = [
            await stack.enter_async_context(watching(client, run.id, n % 3)) for n in range(100)
        ]
        await asyncio.gather(*(watcher.reach(2) for watcher in watchers))
        for n in range(8):
            await report(client, run.id, block("a", message=str(n)), block("b", message=str(n)))
        await finish(client, run.id)
        await asyncio.gather(*(watcher.end() for watcher in watchers))
    whole = [event.seq for event in await history(client, run.id)]
    for n, watcher in enumerate(watchers):
        assert [event.seq for event in watcher.changes] == whole[n % 3 :]
        assert watcher.changes == watchers[0].changes[n % 3 :]


async def test_a_slow_reader_delays_nobody_and_misses_nothing(client: Client) -> None:
    run = await running(client)
    stalled = client.records.WatchTaskRecord(
        WatchTaskRecordRequest(task_record_id=run.id, after_seq=0, view=View.VIEW_FULL)
    )
    messages = aiter(stalled)
    seqs = [event.seq for event in (await anext(messages)).events]
    payload = "x" * 400_000
    async with watching(client, run.id, 2, view=View.VIEW_FULL) as fast:
        delays_ = list[float]()
        loop = asyncio.get_running_loop()
        for n in range(30):  # 12 MB, more than the connection takes from a server
            answer = await report(client, run.id, block("a", output_data={"n": n, "x": payload}))
            written = loop.time()
            await fast.reach(answer.seqs[0])
            delays_.append(loop.time() - written)
        assert min(delays_[-8:]) < 2
        await finish(client, run.id)
        await fast.end()
    async for message in messages:
        assert message.ByteSize() <= 3 << 20
        seqs += [event.seq for event in message.events]
    assert seqs == list(range(1, fast.seq + 1))


@pytest.mark.parametrize("redis", [True, False])
async def test_a_watch_may_go_on_anywhere_at_any_time(
    settings: Settings, tenant: str, *, redis: bool
) -> None:
    """Cut anywhere, taken up on any replica, while both write: nothing twice, nothing missing."""
    url = settings.redis_url if redis else "none"
    async with replica(settings, tenant, url) as client, replica(settings, tenant, url) as other:
        both = (client, other)
        run = await running(client)

        async def write(caller: int) -> None:
            for n in range(10):
                blocks = [block(f"{caller}.{n}.{m}", RUNNING) for m in range(n % 3 + 1)]
                await report(both[(caller + n) % 2], run.id, *blocks)

        async def watch(reader: int) -> list[int]:
            seqs = [0]
            for cut in range(200):
                stream = both[(reader + cut) % 2].records.WatchTaskRecord(
                    WatchTaskRecordRequest(task_record_id=run.id, after_seq=seqs[-1])
                )
                messages = 0
                async for message in stream:
                    seqs += [event.seq for event in message.events]
                    messages += 1
                    if messages > (reader + cut) % 4:
                        stream.cancel()
                        break
                else:
                    return seqs
            raise AssertionError

        watchers = [asyncio.create_task(watch(reader)) for reader in range(4)]
        await asyncio.gather(*(write(caller) for caller in range(4)))
        await finish(client, run.id)
        whole = [event.seq for event in await history(client, run.id)]
        for seqs in await asyncio.gather(*watchers):
            assert seqs == [0, *whole]
        for after_seq in (0, 1, 2, 50, len(whole) - 1):
            for replica_ in both:
                rest = await watch_to_end(replica_, run.id, after_seq)
                assert [event.seq for event in rest.changes] == whole[after_seq:]
