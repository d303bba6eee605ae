"""A tenant's new events in this process: each read at most once, however many watch.

While somebody watches anything of a tenant, one task follows its log. Events come from this
process's own commits, with Redis's wake-ups, and from PostgreSQL where these leave a gap. Watches
of one run have a topic each, those of many share the tail; whoever lags reads the bulk pool, in the
turns of `catch_up`, until it has caught up.
"""

import asyncio
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime

import structlog
from vwed.v1.task_record_event_pb2 import TaskRecordEvent

from vwed_grpc.cache.keys import KeySpace
from vwed_grpc.storage import events, feed, rows
from vwed_grpc.storage.database import Database
from vwed_grpc.storage.feed import Entry, Stretch
from vwed_grpc.storage.incarnation import Incarnation
from vwed_grpc.telemetry.meters import Observe
from vwed_grpc.watching.catch_up import CatchUp
from vwed_grpc.watching.news import NEWS, ORIGIN_BYTES, News, unpack
from vwed_grpc.watching.reading import after, grouped, next_ones, page, up_to
from vwed_grpc.watching.sleep import Sleep
from vwed_grpc.watching.tail import Tail
from vwed_grpc.watching.topic import MAX_EVENTS, Topic
from vwed_grpc.watching.wakeups import POLL_SECONDS, POLL_SECONDS_ALONE, Wakeups

log = structlog.get_logger(__name__)

SETTLE_SECONDS = 0.5
"""How soon the log is read after something was told: up to there watches can be resumed."""
PAUSE_SECONDS, LONGEST_PAUSE = 0.002, 0.2
"""Between two pieces, for each watcher of many runs: what comes meanwhile is told them together."""


class TailedLog:
    """The newest of one tenant's log."""

    def __init__(
        self,
        tenant: str,
        database: Database,
        wakeups: Wakeups,
        catch_up: CatchUp,
        *,
        origin: bytes,
        observe_lag: Observe,
    ) -> None:
        """`origin`: of the news that it is told without Redis.

        `observe_lag` is told of each reading that had to bring events, since nobody had told of
        them, how many seconds old the oldest was.
        """
        self.tenant = tenant
        self.catch_up = catch_up
        self._origin = origin
        self._observe_lag = observe_lag
        self._database = database
        self._wakeups = wakeups
        self._topics: dict[str, Topic] = {}
        self._tail: Tail | None = None
        self._reading = asyncio.Lock()
        """Held by whoever reads events: the next one has them."""
        self._look_at = 0.0
        """When the log is to be read, if nothing is heard before."""
        self._woken = asyncio.Event()

    @contextmanager
    def topic(self, run: str) -> Iterator[Topic]:
        """The run's topic, kept up to date while somebody watches it."""
        topic = self._topics.setdefault(run, Topic())
        topic.watchers += 1
        try:
            yield topic
        finally:
            topic.watchers -= 1
            if not topic.watchers:
                del self._topics[run]

    @contextmanager
    def tail(self) -> Iterator[tuple[Tail, Sleep]]:
        """What watches of many runs are told, kept up to date while there are any."""
        tail = self._tail
        if tail is None:
            tail = self._tail = Tail()
            self.look()
        try:
            with tail.sleepers.one() as sleep:
                yield tail, sleep
        finally:
            if not tail.sleepers and self._tail is tail:
                self._tail = None

    def look(self) -> None:
        """Has the log read at once."""
        self._look_at = 0.0
        self._woken.set()

    def hear(self, data: bytes | None) -> None:
        """What Redis has brought; None: something may have been lost."""
        if data is None:
            self.look()
            return
        for heard in unpack(data, own=self._origin):
            if self._tail is not None or heard.run in self._topics:
                self.tell(heard.unpacked())

    def tell(self, news: News) -> None:
        """Watchers of the run hear it at once, those of many with what else is new."""
        topic = self._topics.get(news.run)
        if topic is not None:
            topic.extend(news.events)
            topic.learn(news.newest)
        if self._tail is not None:
            self._tail.hear(news)
            soon = asyncio.get_running_loop().time() + SETTLE_SECONDS
            self._look_at = min(self._look_at, soon)
            self._woken.set()

    async def fill(self, run: str) -> None:
        """Reads what the run's topic lacks, and what others lack with it."""
        topic = self._topics[run]
        async with self._reading:
            if topic.newest - topic.end > MAX_EVENTS:
                topic.pass_over(topic.newest)  # it cannot hold that many
            if topic.end >= topic.newest:  # or another has read it, or it was heard
                return
            own = Stretch(run, topic.end + 1, topic.newest)
            others = [
                Stretch(name, one.end + 1, one.newest)
                for name, one in self._topics.items()
                if name != run and 0 <= one.end < one.newest <= one.end + MAX_EVENTS
            ]
            entries, _ = await page(self._database.live, self.tenant, [own, *others])
            self._spread(entries)
            if topic.end < own.first:
                topic.pass_over(own.last)

    def _spread(self, entries: Sequence[Entry]) -> None:
        for run, own in grouped(entries).items():
            robot = next((e.robot_id for e in reversed(own) if e.robot_id is not None), None)
            self.tell(News(run, own[-1].event.seq, [entry.event for entry in own], robot))

    async def run(self) -> None:
        """Follows the log until cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            self._woken.clear()
            tail = self._tail
            try:
                if (tail is not None and not tail.tell_heard()) or clock() >= self._look_at:
                    await self._look(tail)
            except Exception as exc:  # noqa: BLE001 - whatever it is, it is looked again soon
                log.warning("log.look_failed", tenant=self.tenant, error=repr(exc))
                self._look_at = clock() + POLL_SECONDS_ALONE
                if tail is not None:
                    tail.fail(exc)
                    self._tail = None
            if tail is not None:
                await asyncio.sleep(min(PAUSE_SECONDS * len(tail.sleepers), LONGEST_PAUSE))
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._look_at):
                    await self._woken.wait()

    async def _look(self, tail: Tail | None) -> None:
        """Finds what was not heard."""
        every = POLL_SECONDS if self._wakeups.connected else POLL_SECONDS_ALONE
        self._look_at = asyncio.get_running_loop().time() + every
        for topic in self._topics.values():
            topic.trim()
        if tail is not None:
            await self._read(tail)
        else:
            await self._compare()

    async def _compare(self) -> None:
        """Learns how far the watched runs are."""
        watched = dict(self._topics)
        if not watched:
            return
        newest = await events.newest(self._database.live, self.tenant, [*watched])
        for run, topic in watched.items():
            # A run without a row was deleted: its last event says so, one past what we know.
            topic.learn(newest.get(run, topic.end + 1))

    async def _read(self, tail: Tail) -> None:
        """Goes on to where the log is now; tells what was not told."""
        pool = self._database.live
        tail.begin_reading()
        if tail.mark is None:
            tail.end_reading(await feed.now(pool, self.tenant))
            await self._compare()  # what came before this mark no reading finds
            return
        moment, found = await feed.new_since(pool, self.tenant, tail.mark.moment.snapshot)
        for one in found:
            if one.run in self._topics:
                self._topics[one.run].learn(one.last)
        left = tail.untold(found)
        lags = []
        while left:
            async with self._reading:
                some = next_ones(left)
                await tail.known.learn(pool, self.tenant, {one.run: one.first for one in some})
                missing = tail.missing(some)
                entries, end = await page(pool, self.tenant, missing) if missing else ([], None)
                by_run = grouped(entries)
                tail.tell_read(up_to(some, end), by_run)
                lags += [_age(moment.time, own[0]) for own in by_run.values()]
                for run, own in by_run.items():
                    if run in self._topics:
                        self._topics[run].extend([entry.event for entry in own])
            left = after(left, *(end or (some[-1].run, some[-1].last)))
            if not entries or entries[-1].event.seq == entries[-1].event.group_seq:
                tail.tell_heard()  # nothing comes amid a report
        tail.end_reading(moment, found)
        if lags:
            self._observe_lag(max(lags))


def _age(moment: datetime, entry: Entry) -> float:
    """Seconds from an event to a moment, by the database's clock."""
    event = TaskRecordEvent.FromString(entry.event.event)
    return max((moment - rows.moment(event.event_time)).total_seconds(), 0.0)


@dataclass(slots=True)
class _Followed:
    log: TailedLog
    task: asyncio.Task[None]
    watchers: int = 0


class TailedLogs:
    """Those of all tenants of whom somebody watches anything."""

    def __init__(
        self,
        database: Database,
        wakeups: Wakeups,
        keys: KeySpace,
        catch_up: CatchUp,
        *,
        observe_lag: Observe,
    ) -> None:
        """`observe_lag`: as of `TailedLog`."""
        self._observe_lag = observe_lag
        self._database = database
        self._wakeups = wakeups
        self._keys = keys
        self._catch_up = catch_up
        self.origin = os.urandom(ORIGIN_BYTES)
        """Of this process's news, which it has no need to hear from Redis as well."""
        self._followed: dict[str, _Followed] = {}

    @contextmanager
    def of(self, tenant: str) -> Iterator[TailedLog]:
        """The tenant's, followed while somebody is in here."""
        followed = self._followed.get(tenant)
        if followed is None:
            followed = self._followed[tenant] = self._follow(tenant)
        followed.watchers += 1
        try:
            yield followed.log
        finally:
            followed.watchers -= 1
            if not followed.watchers:
                followed.task.cancel()
                if self._followed.get(tenant) is followed:
                    del self._followed[tenant]

    def begin_anew(self) -> None:
        """The data is another: who watches now has to leave, and who comes next begins with it."""
        for followed in self._followed.values():
            followed.task.cancel()
        self._followed.clear()
        self._catch_up.forget()

    def tell(self, tenant: str, news: Sequence[News], incarnation: Incarnation | None) -> None:
        """What a commit of this process has to say, unless the data that it changed is gone."""
        followed = self._followed.get(tenant)
        if followed is not None and incarnation is self._database.incarnation.known:
            for one in news:
                followed.log.tell(one)

    def _follow(self, tenant: str) -> _Followed:
        log = TailedLog(
            tenant,
            self._database,
            self._wakeups,
            self._catch_up,
            origin=self.origin,
            observe_lag=self._observe_lag,
        )

        async def follow() -> None:
            with self._wakeups.listen(self._keys.key(NEWS, tenant), log.hear):
                await log.run()

        return _Followed(log, asyncio.create_task(follow()))
