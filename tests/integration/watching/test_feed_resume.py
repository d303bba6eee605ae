"""Where a watch of many runs can be resumed, and where it cannot."""

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from grpc import StatusCode
from vwed.v1.common_pb2 import View
from vwed.v1.record_service_pb2 import WatchTaskRecordsRequest
from vwed.v1.task_record_pb2 import TaskRecordFilter

from tests.integration.watching.test_watch_delivery import replica
from tests.support.calls import finish_run
from tests.support.databases import incarnation_of
from tests.support.feeding import feeding, labelled
from tests.support.steps import block, create, refused, report, running, seconds
from tests.support.watching import watching
from vwed.client import Client, connect
from vwed_grpc.domain.blocks import RUNNING
from vwed_grpc.domain.paging import fingerprint_of
from vwed_grpc.domain.retention import Retention
from vwed_grpc.server import serving
from vwed_grpc.settings import Settings
from vwed_grpc.storage import feed
from vwed_grpc.storage.feed import Snapshot, Way
from vwed_grpc.watching import reading
from vwed_grpc.watching.feed import Feed
from vwed_grpc.watching.resume import Place, ResumePoint
from vwed_grpc.watching.topic import Topic
from vwed_grpc.watching.watch import Watch


async def test_every_token_gives_the_rest_on_any_replica(
    client: Client, settings: Settings, tenant: str
) -> None:
    runs = [await running(client) for _ in range(3)]
    async with feeding(client, include_blocks=True) as seen:
        for turn in range(4):
            batch = block(f"b{turn}", RUNNING), block(f"c{turn}", RUNNING)
            await asyncio.gather(*(report(client, run.id, *batch) for run in runs))
            await seen.reach(runs[0].id, 4 + 2 * turn)  # so that each turn has a token
        ended = {(await finish_run(client, run.id)).id: 2 + 8 + 9 for run in runs}
        for run, seq in ended.items():
            await seen.reach(run, seq)
    assert len(seen.messages) > 4
    told = dict.fromkeys(ended, 2)
    async with replica(settings, tenant, "none") as other:
        for message in seen.messages:
            told.update({event.task_record_id: event.seq for event in message.events})
            async with feeding(other, message.resume_token, include_blocks=True) as resumed:
                for run, seq in ended.items():
                    if told[run] < seq:
                        await resumed.reach(run, seq)
                    rest, seqs = range(told[run] + 1, seq + 1), resumed.seqs(run)
                    # What was told since the log was last read may come once more.
                    assert seqs[-len(rest) :] == [*rest]
                    assert seqs == sorted(set(seqs))


@pytest.mark.parametrize("slice_", [1, 2, 7])
async def test_a_long_way_is_read_in_slices(
    client: Client, monkeypatch: pytest.MonkeyPatch, slice_: int
) -> None:
    """However little of it is asked for: a statement that goes through all would take too long."""
    longest = 0

    async def measured(*args: Any, **kwargs: Any) -> Way:
        nonlocal longest
        way = await between(*args, **kwargs)
        longest = max(longest, sum(one.last - one.first + 1 for one in way.stretches))
        return way

    between = feed.between
    monkeypatch.setattr(feed, "between", measured)
    mine = await running(client, labels={"zone": "a"})
    f = labelled(zone="a")
    async with feeding(client, filter=f, include_blocks=True) as seen:
        pass
    for n in range(3):
        for run in (mine, await running(client)):
            await report(client, run.id, *(block(f"{n}{m}", RUNNING) for m in range(3)))
    ended = await finish_run(client, mine.id)
    monkeypatch.setattr(reading, "MAX_EVENTS", slice_)
    monkeypatch.setattr(reading, "MOST_ON_A_WAY", 6)
    async with feeding(client, seen.token, filter=f, include_blocks=True) as resumed:
        await resumed.reach(mine.id, ended.seq)
        assert resumed.seqs(mine.id) == list(range(3, ended.seq + 1))
        assert set(resumed.changes) == {mine.id}
    assert 6 <= longest < 20  # of the 34 events


async def test_an_idle_watch_says_where_it_is(client: Client) -> None:
    run = await create(client)
    async with feeding(client, bookmark=1) as seen:
        await seen.until(lambda: seen.idle_messages >= 2)
        assert all(not m.events for m in seen.messages[1:])
    await finish_run(client, (await running(client)).id)
    async with feeding(client, seen.token, bookmark=1) as resumed:
        await resumed.until(lambda: resumed.idle_messages >= 2)
        assert len(resumed.changes) == 1
        assert run.id not in resumed.changes
    async with feeding(client, resumed.token, bookmark=1) as again:
        await again.until(lambda: again.idle_messages >= 1)
        assert not again.changes


async def test_an_idle_watch_rests(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks for what is new when it is woken or has to say where it is, and not all the time."""
    looks, who = Counter[str](), dict[str, Any]()

    def counted(of: type, name: str) -> None:
        look = getattr(of, name)

        def counting(*args: Any, **kwargs: Any) -> Any:
            looks[name] += 1
            who[name] = args[0]
            return look(*args, **kwargs)

        monkeypatch.setattr(of, name, counting)

    counted(Feed, "_following")
    counted(Watch, "_changes")
    counted(Topic, "after")
    run = await running(client)
    async with feeding(client, bookmark=1) as seen, watching(client, run.id, bookmark=1) as one:
        await seen.until(lambda: seen.idle_messages >= 3)
        await one.until(lambda: len(one.messages) >= 3)
    assert 3 <= looks["_following"] < 50
    assert 3 <= looks["after"] < 50
    # They are told at once what comes; work of one that lags has to wait for that of others.
    assert not who["_following"].lags
    assert not who["_changes"].lags


@pytest.mark.parametrize("interval", [Duration(nanos=1_000_000), seconds(0), seconds(61)])
async def test_bookmark_intervals_out_of_bounds_are_refused(
    client: Client, interval: Duration
) -> None:
    with refused(StatusCode.INVALID_ARGUMENT) as refusal:
        await client.records.WatchTaskRecords(
            WatchTaskRecordsRequest(bookmark_interval=interval)
        ).read()
    assert refusal.fields == ["bookmark_interval"]


async def token_of(client: Client, **request: Any) -> str:
    async with feeding(client, **request) as seen:
        return seen.token


async def resume(client: Client, token: str, **request: Any) -> None:
    """Returns if the watch goes on; raises if it is refused."""
    async with feeding(client, token, bookmark=1, **request) as seen:
        await seen.until(lambda: bool(seen.messages))


OTHERS: list[dict[str, Any]] = [
    {},
    {"filter": labelled(zone="b")},
    {"filter": TaskRecordFilter(labels={"zone": "a"}, ids=["a"])},
    {"filter": labelled(zone="a"), "include_blocks": True},
]


@pytest.mark.parametrize("other", OTHERS)
async def test_a_token_is_of_one_filter_with_or_without_blocks(
    client: Client, other: dict[str, Any]
) -> None:
    token = await token_of(client, filter=labelled(zone="a"))
    with refused(StatusCode.INVALID_ARGUMENT) as refusal:
        await resume(client, token, **other)
    assert refusal.fields == ["resume_token"]


async def test_a_token_goes_with_any_view(client: Client) -> None:
    await resume(client, await token_of(client), view=View.VIEW_FULL)


@pytest.mark.parametrize("token", ["x", "AAAA", "-" * 100, "é"])
async def test_what_is_no_token_is_refused(client: Client, token: str) -> None:
    with refused(StatusCode.INVALID_ARGUMENT) as refusal:
        await resume(client, token)
    assert refusal.fields == ["resume_token"]


def watch_of(tenant: str) -> bytes:
    """What the tokens of a tenant's watch without a filter are bound to."""
    request = WatchTaskRecordsRequest(filter=TaskRecordFilter())
    return fingerprint_of(tenant, "WatchTaskRecords", request)


async def test_a_token_of_another_history_is_out_of_range(
    client: Client, database_url: str, tenant: str
) -> None:
    """After a restore the same transactions may have happened otherwise, or not at all."""
    watch, present = watch_of(tenant), await incarnation_of(database_url)
    async with feeding(client, filter=TaskRecordFilter()) as seen:
        point = ResumePoint.of(seen.token, watch, present)
    elsewhere = point.token(watch, replace(present, id="another"))
    later = Snapshot(2**62)
    ahead = [
        ResumePoint(place, point.said_at).token(watch, present)
        for place in (Place(later), Place(Snapshot(1), later))
    ]
    for token in (elsewhere, *ahead):
        with refused(StatusCode.OUT_OF_RANGE, "RESUME_TOKEN_UNKNOWN"):
            await resume(client, token, filter=TaskRecordFilter())


async def test_a_token_older_than_what_is_kept_is_out_of_range(
    client: Client, database_url: str, settings: Settings, tenant: str
) -> None:
    watch, present = watch_of(tenant), await incarnation_of(database_url)
    async with feeding(client, filter=TaskRecordFilter()) as seen:
        point = ResumePoint.of(seen.token, watch, present)
    rules = {tenant: Retention(events_days=7), "*": Retention(events_days=0.5)}
    short = settings.model_copy(update={"redis_url": "none", "retention": rules})
    async with (
        serving(short) as port,
        connect(f"127.0.0.1:{port}", tenant=tenant, bare=True) as there,
    ):
        for days, kept in ((6.9, True), (7.1, False)):
            said_at = point.said_at - timedelta(days=days)
            token = ResumePoint(point.place, said_at).token(watch, present)
            if kept:
                await resume(there, token, filter=TaskRecordFilter())
                continue
            with refused(StatusCode.OUT_OF_RANGE, "RESUME_TOKEN_EXPIRED"):
                await resume(there, token, filter=TaskRecordFilter())
