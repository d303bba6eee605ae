"""An event is read at most once, however many watch; what was heard is not read at all."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from vwed.v1.common_pb2 import View
from vwed.v1.record_service_pb2 import (
    HeartbeatTaskRecordRequest,
    WatchTaskRecordRequest,
    WatchTaskRecordResponse,
)
from vwed.v1.task_record_event_pb2 import TaskRecordEvent
from vwed.v1.task_record_pb2 import TaskRecordFilter

from tests.integration.watching.test_watch_delivery import replica
from tests.support.calls import finish_run
from tests.support.feeding import FeedReader, feeding, labelled
from tests.support.steps import block, create, history, refused, report, running, sql
from tests.support.watching import Watcher, watch_to_end, watching
from vwed.client import Client
from vwed_grpc.domain.blocks import RUNNING
from vwed_grpc.domain.errors import Unavailable
from vwed_grpc.settings import Settings
from vwed_grpc.storage import events, feed, models
from vwed_grpc.storage.events import Event, Kind
from vwed_grpc.storage.feed import Entry, Snapshot
from vwed_grpc.storage.pool import ReadingPool
from vwed_grpc.watching import catch_up, log, reading, tail
from vwed_grpc.watching.catch_up import CatchUp


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> list[list[tuple[str, int]]]:
    """What was read of all logs, page by page: run and seq of each event."""
    found: list[list[tuple[str, int]]] = []
    read, read_of_run = feed.read, events.read

    async def counted(*args: Any, **kwargs: Any) -> tuple[list[Entry], bool]:
        entries, complete = await read(*args, **kwargs)
        found.append([(entry.run, entry.event.seq) for entry in entries])
        return entries, complete

    async def counted_of_run(
        pool: ReadingPool, tenant: str, run: str, *args: Any, **kwargs: Any
    ) -> list[Event]:
        own = await read_of_run(pool, tenant, run, *args, **kwargs)
        found.append([(run, event.seq) for event in own])
        return own

    monkeypatch.setattr(feed, "read", counted)
    monkeypatch.setattr(events, "read", counted_of_run)
    return found


@dataclass
class Crowd:
    of_one: list[Watcher]
    of_many: list[FeedReader]
    of_others: list[FeedReader]
    """The run does not match what these ask for."""

    async def reach(self, run: str, seq: int) -> None:
        for watcher in self.of_one:
            await watcher.reach(seq)
        for seen in self.of_many:
            await seen.reach(run, seq)
            assert seen.seqs(run) == list(range(3, seq + 1))


@asynccontextmanager
async def crowd(client: Client, run: str, feeds: int, watches: int) -> AsyncIterator[Crowd]:
    """Watches of many runs, which ask for different things, and of one."""
    filters = [labelled(), labelled(zone="a"), TaskRecordFilter(ids=[run]), labelled(zone="b")]
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        many = [
            await enter(feeding(client, include_blocks=True, filter=filters[n % 4]))
            for n in range(feeds)
        ]
        one = [await enter(watching(client, run, 2)) for _ in range(watches)]
        # By then the run is known, and its watches have begun.
        seq = (await report(client, run, block("first", RUNNING))).seqs[0]
        told = Crowd(one, [seen for n, seen in enumerate(many) if n % 4 != 3], many[3::4])
        await told.reach(run, seq)
        yield told
        assert all(not seen.changes for seen in told.of_others)


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_what_is_heard_is_not_read(
    client: Client,
    settings: Settings,
    tenant: str,
    pages: list[list[tuple[str, int]]],
    elsewhere: bool,
) -> None:
    """Neither by a commit of this server, nor with the wake-up of another's."""
    run = (await running(client, labels={"zone": "a"})).id
    async with (
        replica(settings, tenant, settings.redis_url) as other,
        crowd(client, run, feeds=12, watches=5) as told,
    ):
        pages.clear()
        writer = other if elsewhere else client
        for n in range(8):
            answer = await report(writer, run, block(f"a{n}", RUNNING), block(f"b{n}", RUNNING))
            await told.reach(run, answer.seqs[-1])
        await asyncio.sleep(2 * log.SETTLE_SECONDS)  # the log is read, and nothing is missing
        assert not any(pages)


async def test_what_no_wake_up_told_is_read_once(
    client: Client, settings: Settings, tenant: str, pages: list[list[tuple[str, int]]]
) -> None:
    run = (await running(client, labels={"zone": "a"})).id
    async with (
        replica(settings, tenant, "none") as silent,
        crowd(client, run, feeds=12, watches=5) as told,
    ):
        pages.clear()
        for n in range(3):
            lost = await report(silent, run, block(f"a{n}", RUNNING), block(f"b{n}", RUNNING))
            if n:  # after the gap comes what is heard
                lost = await report(client, run, block(f"c{n}", RUNNING))
            await told.reach(run, lost.seqs[-1])
    read = Counter(event for page in pages for event in page)
    assert set(read) >= {(run, 4), (run, 5), (run, 6), (run, 7), (run, 9), (run, 10)}
    assert set(read.values()) == {1}


async def test_who_lags_shares_what_is_read(
    client: Client, pages: list[list[tuple[str, int]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MAX_EVENTS", 2)
    monkeypatch.setattr(catch_up, "KEPT_SECONDS", 60)
    async with feeding(client, include_blocks=True) as seen:
        pass
    run = await running(client)
    for n in range(8):
        await report(client, run.id, block(f"b{n}", RUNNING))
    pages.clear()
    async with AsyncExitStack() as stack:
        feeds = [
            await stack.enter_async_context(feeding(client, seen.token, include_blocks=True))
            for _ in range(10)
        ]
        for one in feeds:
            await one.reach(run.id, 10)
            assert one.seqs(run.id) == list(range(1, 11))
    assert [len(page) for page in pages] == [2, 2, 2, 2, 2]


async def test_who_lags_behind_one_run_shares_what_is_read(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catch_up, "KEPT_SECONDS", 60)
    run = await running(client)
    await report(client, run.id, *(block(f"b{n}", RUNNING) for n in range(3)))
    reads: list[int] = []
    read_groups = events.read_groups

    async def counted(
        pool: ReadingPool, tenant: str, of: str, after_seq: int, *, full: bool
    ) -> list[Event]:
        if of == run.id:
            reads.append(after_seq)
        return await read_groups(pool, tenant, of, after_seq, full=full)

    monkeypatch.setattr(events, "read_groups", counted)
    calls = [
        client.records.WatchTaskRecord(WatchTaskRecordRequest(task_record_id=run.id, after_seq=0))
        for _ in range(10)
    ]
    for call in calls:
        message = await call.read()
        assert isinstance(message, WatchTaskRecordResponse)
        assert [event.seq for event in message.events] == [1, 2, 3, 4, 5]
        call.cancel()
    assert reads == [0]


async def test_who_resumes_anew_is_told_what_happened_since(
    client: Client, settings: Settings, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read for the last one who stood there goes up to where the log was then."""
    monkeypatch.setattr(catch_up, "KEPT_SECONDS", 60)
    run = (await running(client)).id
    async with replica(settings, tenant, "none") as silent:
        async with feeding(client, include_blocks=True) as seen:
            pass
        for n in range(3):
            last = (await report(silent, run, block(f"b{n}", RUNNING))).seqs[-1]
            async with feeding(client, seen.token, include_blocks=True) as resumed:
                await resumed.reach(run, last)
                assert resumed.seqs(run) == list(range(3, last + 1))


async def test_who_was_told_more_elsewhere_is_told_none_of_it_again(
    client: Client, settings: Settings, tenant: str
) -> None:
    """A server that has not looked since looks first."""
    run = (await running(client)).id
    async with (
        replica(settings, tenant, "none") as silent,
        feeding(client, include_blocks=True),
        feeding(silent, include_blocks=True, bookmark=1) as seen,
    ):
        await report(silent, run, block("a", RUNNING))
        await seen.reach(run, 3)
        await seen.until(lambda: seen.idle_messages > 0)
        async with feeding(client, seen.token, include_blocks=True) as resumed:
            last = (await report(silent, run, block("b", RUNNING))).seqs[-1]
            await resumed.reach(run, last)
            assert resumed.seqs(run) == [last]


@pytest.mark.parametrize(
    ("limit", "scope"), [("MOST_WAITING", "process"), ("MOST_OF_TENANT", "tenant")]
)
async def test_too_many_who_lag_are_refused(
    client: Client, monkeypatch: pytest.MonkeyPatch, limit: str, scope: str
) -> None:
    run = await running(client)
    async with feeding(client) as seen:
        pass
    monkeypatch.setattr(catch_up, limit, 0)
    exhausted = grpc.StatusCode.RESOURCE_EXHAUSTED
    with refused(exhausted, "TOO_MANY_CATCHING_UP") as one:
        await watch_to_end(client, run.id, 0)
    with refused(exhausted, "TOO_MANY_CATCHING_UP") as many:
        async with feeding(client, seen.token) as resumed:
            await resumed.until(lambda: False)  # it ends
    assert one.metadata == many.metadata == {"limit": "0", "scope": scope}


async def test_what_is_read_for_those_who_lag_is_kept_for_their_tenant_alone(
    client: Client, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids of runs are the caller's, and two tenants may stand at the same place."""
    tenants = Counter[tuple[str, str]]()
    ask = CatchUp.ask

    async def asked(self: CatchUp, of: str, key: tuple[str, Any], *args: Any) -> Any:
        tenants[key[0], of] += 1
        return await ask(self, of, key, *args)

    monkeypatch.setattr(CatchUp, "ask", asked)
    run = await running(client)
    async with feeding(client, include_blocks=True) as seen:
        pass
    last = (await report(client, run.id, block("a", RUNNING))).seqs[-1]
    async with feeding(client, seen.token, include_blocks=True) as resumed:
        await resumed.reach(run.id, last)
    async with watching(client, run.id) as one:
        await one.reach(last)
    ended = await finish_run(client, run.id)
    assert (await watch_to_end(client, run.id, 0)).seq == ended.seq
    assert {kind for kind, _ in tenants} == {"page", "states", "way", "log", "events"}
    assert {of for _, of in tenants} == {tenant}


async def test_who_finds_nothing_kept_is_told_everything_all_the_same(
    client: Client, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is when the events of a moment are larger than what is kept."""
    monkeypatch.setattr(tail, "KEPT_BYTES", 1)
    run = await running(client, labels={"zone": "a"})
    full: dict[str, Any] = {"include_blocks": True, "view": View.VIEW_FULL}
    async with feeding(client, **full) as seen, feeding(client, filter=labelled(zone="a")) as slim:
        for n in range(5):
            await report(client, run.id, block(f"b{n}", RUNNING, input_data={"x": "x" * 300_000}))
        ended = await finish_run(client, run.id)
        await seen.reach(run.id, ended.seq)
        await slim.reach(run.id, ended.seq)
        assert seen.changes[run.id] == await history(client, run.id, after_seq=2)


async def test_a_log_that_cannot_be_read_is_said_and_read_again_later(
    client: Client, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_since = feed.new_since

    async def away(pool: ReadingPool, of: str, since: Snapshot) -> Any:
        if of == tenant:
            raise Unavailable("STORE_UNAVAILABLE", "the store is away")
        return await new_since(pool, of, since)

    async with feeding(client) as seen:
        first = await create(client)
        await seen.reach(first.id, 1)
        await asyncio.sleep(2 * log.SETTLE_SECONDS)
    with refused(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE"):
        async with feeding(client, seen.token, bookmark=1) as cut:
            await cut.until(lambda: cut.idle_messages > 0)
            monkeypatch.setattr(feed, "new_since", away)
            missed = await create(client)
            await cut.until(lambda: False)  # it ends
    monkeypatch.setattr(feed, "new_since", new_since)
    async with feeding(client, cut.token) as resumed:
        await resumed.reach(missed.id, 1)
        assert first.id not in resumed.changes


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_a_robot_that_a_heartbeat_names_counts_from_the_next_event_on(
    client: Client, settings: Settings, tenant: str, elsewhere: bool
) -> None:
    """A heartbeat writes no event, so the next one says that a run has come or gone.

    The watches hear of it from their own server, or from another.
    """
    run = await running(client, lease=60)

    async def robot(name: str) -> None:
        await client.records.HeartbeatTaskRecord(
            HeartbeatTaskRecordRequest(
                id=run.id, executor_id="robot-1", lease_epoch=run.lease_epoch, robot_id=name
            )
        )

    of = {name: TaskRecordFilter(robot_ids=[name]) for name in ("r7", "r8")}
    await robot("r7")
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        watched = (
            await enter(replica(settings, tenant, settings.redis_url)) if elsewhere else client
        )
        r7, r8 = [
            await enter(feeding(watched, include_blocks=True, filter=of[name]))
            for name in ("r7", "r8")
        ]
        assert set(r7.snapshot) == {run.id}
        await report(client, run.id, block("a", RUNNING))
        await r7.reach(run.id, 3)
        await robot("r8")
        await report(client, run.id, block("b", RUNNING))
        await report(client, run.id, block("c", RUNNING))
        await r8.reach(run.id, 5)
        await robot("r7")
        await report(client, run.id, block("d", RUNNING))
        await r7.reach(run.id, 6)
        await r8.reach(run.id, 6)
        assert r7.seqs(run.id) == [3, 4, 6]
        assert r8.seqs(run.id) == [4, 5, 6]


class Writers:
    """Transactions of one tenant that overlap: they write to runs, and end in any order."""

    def __init__(self, connections: Sequence[AsyncConnection], tenant: str, seed: int) -> None:
        self.zones: dict[str, list[str]] = {f"run-{n}": [] for n in range(4)}
        """Run -> where each of its events leaves it."""
        self._idle = list(connections)
        self._open: dict[AsyncConnection, dict[str, int]] = {}
        """With the length that each run of theirs had before."""
        self._tenant = tenant
        self._rng = random.Random(seed)

    async def step(self) -> None:
        await self._rng.choice([self._begin, self._begin, self._write, self._write, self._end])()

    async def end(self) -> None:
        while self._open:
            await self._end()

    async def _begin(self) -> None:
        if self._idle:
            connection = self._idle.pop()
            await connection.execute(sa.text("SELECT pg_current_xact_id()"))
            self._open[connection] = {}

    async def _write(self) -> None:
        """To a run that no other has: its row would be locked."""
        if not self._open:
            return
        connection = self._rng.choice([*self._open])
        taken = {run for one, runs in self._open.items() if one != connection for run in runs}
        if not (free := self.zones.keys() - taken):
            return
        run = self._rng.choice(sorted(free))
        zones = self.zones[run]
        self._open[connection].setdefault(run, len(zones))
        count = self._rng.randint(1, 3)
        group = len(zones) + count
        for _ in range(count):
            of_block = bool(zones) and self._rng.random() < 0.3
            zones.append(zones[-1] if of_block else self._rng.choice("aab"))
            event = TaskRecordEvent(task_record_id=run, seq=len(zones))
            if of_block:
                event.block_record.block_id = "a"
            else:
                event.task_record.id = run
                event.task_record.labels["zone"] = zones[-1]
            await connection.execute(
                sa.insert(models.TaskRecordEvent.__table__).values(
                    tenant=self._tenant,
                    task_record_id=run,
                    seq=len(zones),
                    group_seq=group,
                    kind=Kind.BLOCK if of_block else Kind.RUN,
                    event_time=sa.func.now(),
                    event=event.SerializeToString(),
                )
            )

    async def _end(self) -> None:
        if not self._open:
            return
        connection = self._rng.choice([*self._open])
        before = self._open.pop(connection)
        if self._rng.random() < 0.2:
            await connection.rollback()
            for run, length in before.items():
                del self.zones[run][length:]
        else:
            await connection.commit()
        self._idle.append(connection)

    def told(self, zone: str) -> dict[str, list[int]]:
        """The seqs that a watch of one zone is owed: the run was there before or after it."""
        found = {
            run: [
                seq
                for seq, now in enumerate(zones, start=1)
                if zone in (now, zones[seq - 2] if seq > 1 else "")
            ]
            for run, zones in self.zones.items()
        }
        return {run: seqs for run, seqs in found.items() if seqs}


async def overtakings(database_url: str, tenant: str) -> int:
    """How often an event of a run stands before its predecessor in the order of transactions."""
    found = await sql(
        database_url,
        """SELECT count(*) FROM task_record_events a JOIN task_record_events b
             ON b.tenant = a.tenant AND b.task_record_id = a.task_record_id AND b.seq = a.seq + 1
          WHERE a.tenant = :tenant AND b.xact < a.xact""",
        tenant=tenant,
    )
    return int(found[0][0])


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("most", [1, 2, 1000])
async def test_transactions_that_overlap_are_told_in_order_and_without_a_gap(
    settings: Settings,
    database_url: str,
    tenant: str,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
    most: int,
) -> None:
    """However it is cut, whoever is resumed in the middle, on another server without Redis.

    The readers check that each run's events come in order and none twice.
    """
    monkeypatch.setattr(reading, "MAX_EVENTS", most)
    monkeypatch.setattr(reading, "MOST_ON_A_WAY", 2 * most)
    monkeypatch.setattr(tail, "KEPT_BYTES", 500)
    url = sa.make_url(database_url).set(drivername="postgresql+asyncpg")
    engine = create_async_engine(url)
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        one, another = [await enter(replica(settings, tenant, "none")) for _ in range(2)]
        stack.push_async_callback(engine.dispose)
        connections = [await enter(engine.connect()) for _ in range(4)]
        writers = Writers(connections, tenant, seed)
        watch: dict[str, Any] = {"filter": labelled(zone="a"), "include_blocks": True}
        whole = await enter(feeding(one, **watch))
        for _ in range(60):
            await writers.step()
        cut = await enter(feeding(another, whole.token, **watch))
        for _ in range(60):
            await writers.step()
        await writers.end()
        assert await overtakings(database_url, tenant), "the test tests nothing"
        owed = writers.told("a")
        for run, seqs in owed.items():
            await whole.reach(run, seqs[-1])
            await cut.reach(run, seqs[-1])
        for run, seqs in owed.items():
            assert whole.seqs(run) == seqs
            assert set(cut.seqs(run)) <= set(seqs)
        for message in whole.messages[:: max(1, len(whole.messages) // 3)]:
            resumed = await enter(feeding(another, message.resume_token, **watch))
            before = whole.told_by(message)
            for run, seqs in owed.items():
                rest = [seq for seq in seqs if seq > before.get(run, 0)]
                if rest:
                    await resumed.reach(run, rest[-1])
                assert set(rest) <= set(resumed.seqs(run)) <= set(seqs)
