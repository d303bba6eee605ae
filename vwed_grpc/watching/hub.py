"""All watched runs of this process: who is awake, who lags, and what Redis has not told us.

News come from this process's own commits and, by Redis, from other replicas. Every few seconds one
query a tenant compares the seqs of all watched runs, so a lost wake-up costs seconds, not events;
without Redis the same query at a shorter interval is all.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import structlog

from vwed_grpc.cache.keys import KeySpace
from vwed_grpc.storage import events
from vwed_grpc.storage.events import Event
from vwed_grpc.storage.pool import ReadingPool
from vwed_grpc.storage.statement import Statement
from vwed_grpc.watching.catch_up import CatchUp
from vwed_grpc.watching.news import unpack
from vwed_grpc.watching.topic import Topic
from vwed_grpc.watching.wakeups import POLL_SECONDS, POLL_SECONDS_ALONE, Wakeups

log = structlog.get_logger(__name__)

_SEQS = Statement(
    "SELECT id, seq FROM task_records WHERE tenant = :tenant AND id = ANY(CAST(:ids AS text[]))"
)


class Hub:
    """Feeds watchers of single runs."""

    def __init__(
        self, pool: ReadingPool, wakeups: Wakeups, keys: KeySpace, catch_up: CatchUp
    ) -> None:
        self.catch_up = catch_up
        self._pool = pool
        self._wakeups = wakeups
        self._keys = keys
        self._topics: dict[tuple[str, str], Topic] = {}
        self._unsure: set[tuple[str, str]] = set()
        self._look = asyncio.Event()

    @contextmanager
    def topic(self, tenant: str, run: str) -> Iterator[Topic]:
        """The run's topic, kept up to date while somebody watches it."""
        name = (tenant, run)
        topic = self._topics.get(name)
        if topic is None:
            topic = self._topics[name] = Topic()
        topic.watchers += 1

        def heard(data: bytes | None) -> None:
            if data is None:
                self._unsure.add(name)  # what was said before the subscription, we have not heard
                self._look.set()
            else:
                newest, new = unpack(data)
                topic.extend(new)
                topic.learn(newest)

        listening = ExitStack()
        if topic.watchers == 1:
            topic.listening = listening
            listening.enter_context(self._wakeups.listen(self._keys.key("watch", *name), heard))
        try:
            yield topic
        finally:
            topic.watchers -= 1
            if not topic.watchers:
                topic.listening.close()
                del self._topics[name]

    def publish(self, tenant: str, run: str, newest: int, new: Sequence[Event]) -> None:
        """News from a commit of this process."""
        topic = self._topics.get((tenant, run))
        if topic is not None:
            topic.extend(new)
            topic.learn(newest)

    async def fill(self, tenant: str, run: str, topic: Topic) -> None:
        """Reads what lies between `topic.end` and `topic.newest`, once for all who wait for it."""
        # One that is done must not be awaited again: that would not let the loop go on.
        if topic.filling is None or topic.filling.done():
            topic.filling = asyncio.ensure_future(self._fill(tenant, run, topic))
            # All who wait for it may leave before it fails.
            topic.filling.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.shield(topic.filling)

    async def _fill(self, tenant: str, run: str, topic: Topic) -> None:
        end, newest = topic.end, topic.newest
        if end >= newest:  # a wake-up brought it along before this began
            return
        new = await events.read_groups(self._pool, tenant, run, end, full=True)
        if new and new[0].seq == end + 1:
            topic.extend(new)
        elif topic.end == end:
            topic.pass_over(newest)

    async def run(self) -> None:
        """Looks for what no wake-up said, until cancelled."""
        looked = time.monotonic()
        while True:
            every = POLL_SECONDS if self._wakeups.connected else POLL_SECONDS_ALONE
            try:
                # However many subscriptions are confirmed meanwhile, every topic has its turn.
                async with asyncio.timeout(looked + every - time.monotonic()):
                    await self._look.wait()
                    # Many subscriptions are confirmed at once: one query serves them all.
                    await asyncio.sleep(0.005)
                names = self._unsure
            except TimeoutError:
                names = set(self._topics)
                looked = time.monotonic()
            self._unsure = set()
            self._look.clear()
            if failed := await self._compare(names):
                await asyncio.sleep(POLL_SECONDS_ALONE)
                self._unsure |= failed
                self._look.set()

    async def _compare(self, names: set[tuple[str, str]]) -> set[tuple[str, str]]:
        """Learns how far the runs are; answers those of which it could not be learned."""
        by_tenant: dict[str, list[str]] = {}
        for tenant, run in names:
            by_tenant.setdefault(tenant, []).append(run)
        failed: set[tuple[str, str]] = set()
        for tenant, runs in by_tenant.items():
            try:
                found = await self._pool.fetch(_SEQS, {"tenant": tenant, "ids": runs})
            except Exception as exc:  # noqa: BLE001 - whatever it is, the other tenants are looked at
                log.warning("hub.look_failed", tenant=tenant, error=repr(exc))
                failed |= {(tenant, run) for run in runs}
                continue
            seqs = {row.id: row.seq for row in found}
            for run in runs:
                topic = self._topics.get((tenant, run))
                if topic is None:
                    continue
                topic.trim()
                # A run without a row was deleted: its last event says so, one past what we know.
                topic.learn(seqs.get(run, topic.end + 1 if topic.end >= 0 else 0))
        return failed
