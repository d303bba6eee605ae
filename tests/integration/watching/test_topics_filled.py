"""Reading, once for all watchers of runs, what no wake-up brought along."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack
from typing import Any

import pytest
from vwed.v1.record_service_pb2 import DeleteTaskRecordRequest

from tests.support.steps import block, report, running, sql
from vwed.client import Client
from vwed_grpc.cache.seal import Seal
from vwed_grpc.domain.errors import NotFound, OutOfRange
from vwed_grpc.loop.pacing import Pace
from vwed_grpc.storage import events, feed, pulse
from vwed_grpc.storage.database import Database
from vwed_grpc.storage.events import Event, Kind
from vwed_grpc.watching.catch_up import CatchUp
from vwed_grpc.watching.log import TailedLog
from vwed_grpc.watching.news import News
from vwed_grpc.watching.wakeups import Wakeups
from vwed_grpc.watching.watch import Watch


@pytest.fixture
async def log(database_url: str, tenant: str) -> AsyncIterator[TailedLog]:
    """Nobody follows it: what it has, it was told or asked for."""
    database = Database(database_url, connections=8, statement_timeout=5.0)
    yield TailedLog(
        tenant,
        database,
        Wakeups(None, Seal(b"a key")),
        CatchUp(Pace(lambda: False)),
        origin=b"process1",
        observe_lag=lambda _: None,
    )
    await database.close()


async def test_one_read_serves_all_who_wait(
    client: Client, log: TailedLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [(await running(client)).id for _ in range(2)]
    reads = 0
    read = feed.read

    async def counted(*args: object, **kwargs: object) -> object:
        nonlocal reads
        reads += 1
        return await read(*args, **kwargs)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(feed, "read", counted)
    with log.topic(runs[0]) as one, log.topic(runs[1]) as other:
        for topic in (one, other):
            topic.begin(1)
            topic.learn(2)
        await asyncio.gather(*(log.fill(run) for run in runs for _ in range(5)))
        assert (one.end, other.end) == (2, 2)
    assert reads == 1


async def test_what_is_gone_is_passed_over(client: Client, log: TailedLog) -> None:
    """Who waits for it asks the log, which says why."""
    run = await running(client)
    with log.topic(run.id) as topic:
        topic.begin(2)
        topic.learn(3)
        await log.fill(run.id)
        assert topic.end == 3


@pytest.mark.parametrize(
    ("deleted", "kept_from", "reason"),
    [
        (False, 4, "SEQ_OUT_OF_RANGE"),
        (True, 5, "TASK_RECORD_DELETED"),
        (True, 6, "TASK_RECORD_DELETED"),
    ],
)
async def test_a_watch_whose_next_events_are_gone_says_why(
    client: Client, log: TailedLog, database_url: str, deleted: bool, kept_from: int, reason: str
) -> None:
    run = (await running(client)).id
    watch = Watch(log, log._database.bulk, run, full=False, bookmark=15)
    messages = watch.messages(1)
    await anext(messages)
    await report(client, run, block("a"), block("b"))
    if deleted:
        await client.records.DeleteTaskRecord(DeleteTaskRecordRequest(id=run, force=True))
    await sql(  # what retention does
        database_url,
        "DELETE FROM task_record_events"
        " WHERE tenant = :tenant AND task_record_id = :run AND seq < :kept RETURNING seq",
        tenant=log.tenant,
        run=run,
        kept=kept_from,
    )
    log._topics[run].learn(4)
    with pytest.raises((NotFound, OutOfRange)) as lost:
        await anext(messages)
    assert lost.value.reason == reason
    assert deleted or lost.value.metadata == {"oldest_seq": "4", "current_seq": "4"}


async def test_where_a_tail_begins_no_news_of_a_run_is_lost(client: Client, log: TailedLog) -> None:
    """No wake-up has told of it, and the tail's readings find what comes after its beginning."""
    await pulse.beat(log._database.probe)  # a mark says of which copy of the data it is
    run = (await running(client)).id
    with log.topic(run) as topic:
        topic.begin(2)
        (seq,) = (await report(client, run, block("a"))).seqs
        with log.tail() as (tail, _):
            await log._look(tail)
        assert topic.newest == seq


async def test_more_than_a_topic_holds_is_left_to_its_watchers(
    client: Client, log: TailedLog
) -> None:
    run = await running(client)
    with log.topic(run.id) as topic:
        topic.begin(1)
        topic.learn(200_000)
        await log.fill(run.id)
        assert topic.end == 200_000
        assert topic.after(1, full=False) is None


async def test_a_read_that_a_wake_up_made_needless_passes_nothing_over(
    client: Client, log: TailedLog
) -> None:
    """A watcher asks for what it heard of; the event itself arrives before the reading begins."""
    run = await running(client)
    with log.topic(run.id) as topic:
        topic.begin(1)
        topic.learn(2)
        filling = asyncio.create_task(log.fill(run.id))
        log.tell(News(run.id, 2, [Event(2, 2, Kind.RUN, b"", None)]))
        await filling
        batch = topic.after(1, full=False)
        assert batch is not None
        assert batch.end == 2


async def test_a_deletion_that_nobody_told_of_is_looked_for(client: Client, log: TailedLog) -> None:
    run = (await running(client)).id
    with log.topic(run) as topic:
        topic.begin(2)
        await log._compare()
        assert topic.newest == 2
        await client.records.DeleteTaskRecord(DeleteTaskRecordRequest(id=run, force=True))
        await log._compare()
        assert topic.newest == 3


async def test_a_watch_that_begins_while_others_are_compared_is_told_of_nothing_new(
    client: Client, log: TailedLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was not asked for: that does not mean that its run is gone."""
    one, other = (await running(client)).id, (await running(client)).id
    newest = events.newest
    with ExitStack() as later:

        async def slow(*args: Any) -> dict[str, int]:
            found = await newest(*args)
            later.enter_context(log.topic(other)).begin(2)
            return found

        monkeypatch.setattr(events, "newest", slow)
        with log.topic(one) as topic:
            topic.begin(1)
            await log._compare()
            assert topic.newest == 2
            with log.topic(other) as begun:
                assert begun.newest == 2
