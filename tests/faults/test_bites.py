"""The checker finds what it is for: each fault is put into a server that is well otherwise."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError
from vwed.v1.block_record_pb2 import BlockRecord, BlockRecordStatus
from vwed.v1.record_service_pb2 import (
    FinishTaskRecordRequest,
    ReportBlocksRequest,
    StartTaskRecordRequest,
)

from tests.faults import checker, history
from tests.faults.checker import WatchLog
from tests.faults.fleet import Fleet
from tests.faults.watchers import follow
from tests.faults.weather import Weather
from tests.support.proxy import Proxy, proxy_of
from tests.support.waiting import PATIENCE
from vwed.client import connect
from vwed_grpc.domain.lifecycle import SUCCEEDED
from vwed_grpc.server import serving
from vwed_grpc.settings import Settings
from vwed_grpc.storage.events import Event
from vwed_grpc.storage.pool import Deadline, Pool
from vwed_grpc.storage.transaction import Transaction
from vwed_grpc.watching import events, topic, watch
from vwed_grpc.watching.events import Batch, messages
from vwed_grpc.watching.log import TailedLog
from vwed_grpc.watching.topic import Topic
from vwed_grpc.watching.wakeups import Listener, Wakeups
from vwed_grpc.writes.commit import Committer, Effects, Work

pytestmark = pytest.mark.bites

DONE = BlockRecordStatus.BLOCK_RECORD_STATUS_SUCCEEDED
UNLUCKY = 7
"""The seq that a fault befalls, amid a report."""
AWAY_SECONDS = 3.0

Seed = Callable[[pytest.MonkeyPatch], None]


def nothing(_: pytest.MonkeyPatch) -> None:
    """A server as it is: the checker must be content with it."""


def _rebatched(patch: pytest.MonkeyPatch, change: Callable[[Sequence[Event]], Batch]) -> None:
    def batch(found: Sequence[Event], *, full: bool) -> Batch:
        whole = events.batch(found, full=full)
        changed = change(found)
        return Batch(changed.messages, whole.end, whole.closed_by)

    patch.setattr(topic, "batch", batch)
    patch.setattr(watch, "batch", batch)


def _batched(found: Sequence[Event]) -> Batch:
    return Batch(messages(found, full=False), 0, None)


def drop_an_event(patch: pytest.MonkeyPatch) -> None:
    _rebatched(patch, lambda found: _batched([e for e in found if e.seq != UNLUCKY]))


def deliver_one_twice(patch: pytest.MonkeyPatch) -> None:
    _rebatched(
        patch, lambda found: _batched([e for e in found for _ in range(1 + (e.seq == UNLUCKY))])
    )


def split_a_report(patch: pytest.MonkeyPatch) -> None:
    _rebatched(
        patch, lambda found: Batch([m for e in found for m in messages([e], full=False)], 0, None)
    )


class _Conflict(Exception):
    sqlstate = "40001"


def _seqs(effects: Effects) -> set[int]:
    return {e.seq for news in effects.news.values() for one in news for e in one.events}


def publish_before_commit(patch: pytest.MonkeyPatch) -> None:
    """And once the transaction does not come to its end at the first try, as may happen."""
    failed = False

    async def run(
        self: Committer, pool: Pool, work: Work[Any], remaining: Deadline, **options: Any
    ) -> Any:
        async def early(tx: Transaction) -> Any:
            nonlocal failed
            effects = Effects(self._keys, tx.xact, tx.incarnation)
            answer = await work(tx, effects)
            await self._announce(effects)
            if not failed and UNLUCKY in _seqs(effects):
                failed = True
                raise DBAPIError(None, None, _Conflict())
            return answer

        options["commit"] = not options.pop("validate_only")
        return await pool.run(early, remaining, **options)

    patch.setattr(Committer, "_run", run)


def _never_look(patch: pytest.MonkeyPatch) -> None:
    listen = Wakeups.listen

    @contextmanager
    def deaf(self: Wakeups, channel: str, listener: Listener) -> Iterator[None]:
        with listen(self, channel, lambda data: None if data is None else listener(data)):
            yield

    async def look(log: TailedLog, _: object) -> None:
        log._look_at = asyncio.get_running_loop().time() + 1e6

    patch.setattr(Wakeups, "listen", deaf)
    patch.setattr(TailedLog, "_look", look)


def skip_the_catch_up(patch: pytest.MonkeyPatch) -> None:
    """What was said while nobody listened is noticed when more is said, and not before."""
    _never_look(patch)


def skip_the_gap(patch: pytest.MonkeyPatch) -> None:
    """What was said while nobody listened is passed over."""
    _never_look(patch)
    extend = Topic.extend

    def leap(self: Topic, new: Sequence[Event]) -> None:
        if new and 0 <= self.end < new[0].seq - 1:
            self.end = new[0].seq - 1
        extend(self, new)

    def after(self: Topic, seq: int, *, full: bool) -> Batch | None:
        held = [event for _, event in self._events if event.seq > seq]
        return events.batch(held, full=full) if held else None

    patch.setattr(Topic, "extend", leap)
    patch.setattr(Topic, "after", after)


@asynccontextmanager
async def two_replicas(settings: Settings, redis: Proxy) -> AsyncIterator[tuple[Fleet, Fleet]]:
    """Who writes, and who watches on another replica, which hears of it through `redis`."""
    async with AsyncExitStack() as stack:
        fleets = []
        for url in (settings.redis_url, f"redis://127.0.0.1:{redis.port}"):
            own = settings.model_copy(update={"redis_url": url})
            port = await stack.enter_async_context(serving(own))
            client = await stack.enter_async_context(
                connect(f"127.0.0.1:{port}", tenant="bites", actor="tester", bare=True)
            )
            fleets.append(Fleet([client], seed=port))
        yield fleets[0], fleets[1]


async def _report(fleet: Fleet, run: str, number: int) -> None:
    blocks = [
        BlockRecord(block_id=f"b{number}-{n}", status=DONE, message=fleet.message())
        for n in range(3)
    ]
    await fleet.ask("ReportBlocks", ReportBlocksRequest(task_record_id=run, block_records=blocks))


async def _play(
    writers: Fleet, watchers: Fleet, redis: Proxy, *, outage: bool
) -> tuple[str, WatchLog, Weather]:
    """Reports, if asked for an outage of the watchers' Redis amid them, then the end."""
    await writers.define()
    run = (await writers.create()).id
    await writers.ask("StartTaskRecord", StartTaskRecordRequest(id=run, executor_id="robot"))
    log, weather = WatchLog("watcher", run, full=False, bookmark=1.0), Weather()
    watching = asyncio.create_task(follow(watchers, log, random.Random(1), patience=1e6))
    while not (log.streams and log.streams[0].arrivals):  # noqa: ASYNC110 - what is waited for is in another process
        await asyncio.sleep(0.01)
    for number in range(5):
        await _report(writers, run, number)
        await asyncio.sleep(0.02)
    if outage:
        async with _away(redis, weather):
            await asyncio.sleep(1.2)  # until everybody knows
            for number in range(5, 8):
                await _report(writers, run, number)
        await asyncio.sleep(1)
    for number in range(8, 11):
        await _report(writers, run, number)
    await writers.ask("FinishTaskRecord", FinishTaskRecordRequest(id=run, status=SUCCEEDED))
    async with asyncio.timeout(PATIENCE):
        await watching
    return run, log, weather


@asynccontextmanager
async def _away(redis: Proxy, weather: Weather) -> AsyncIterator[None]:
    began = asyncio.get_running_loop().time()
    await redis.cut()
    redis.freeze()
    at = time.time()
    yield
    await asyncio.sleep(began + AWAY_SECONDS - asyncio.get_running_loop().time())
    weather.redis_away.append((at, time.time()))
    redis.thaw()


@pytest.mark.parametrize(
    ("seed", "outage", "found"),
    [
        (nothing, True, set()),
        (drop_an_event, False, {"reliable"}),
        (deliver_one_twice, False, {"unique", "ordered"}),
        (publish_before_commit, False, {"reliable"}),
        (skip_the_catch_up, True, {"prompt"}),
        (skip_the_gap, True, {"reliable"}),
        (split_a_report, False, {"contiguous"}),
    ],
)
async def test_the_checker_finds(
    seed: Seed,
    outage: bool,
    found: set[str],
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seed(monkeypatch)
    async with (
        proxy_of(str(settings.redis_url)) as redis,
        two_replicas(settings, redis) as (writers, watchers),
    ):
        run, log, weather = await _play(writers, watchers, redis, outage=outage)
    assert settings.database_url is not None
    table = await history.read(settings.database_url, "bites", history.WRITTEN)
    assert len(table[run]) > 20
    violations = checker.check(log, table[run], weather)
    assert found <= violations.keys() if found else not violations, violations
