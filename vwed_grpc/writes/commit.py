"""The one way to write: a transaction, then what others must hear of it, then the answer."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from vwed_grpc.cache.keys import KeySpace, escape
from vwed_grpc.cache.redis_client import RedisClient
from vwed_grpc.storage.events import Event
from vwed_grpc.storage.pool import Deadline, Pool
from vwed_grpc.storage.transaction import Transaction
from vwed_grpc.watching.hub import Hub
from vwed_grpc.watching.news import pack
from vwed_grpc.watching.wakeups import Wakeups

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class News:
    """What is new of a run: its events up to `newest`, or without any just how far it is."""

    tenant: str
    run: str
    newest: int
    events: Sequence[Event]


@dataclass(slots=True)
class Effects:
    """What follows a commit."""

    keys: KeySpace
    stale: list[str] = field(default_factory=list)
    """Cache keys whose values are no longer true."""
    news: list[News] = field(default_factory=list)
    expired_leases: int = 0
    claimable: set[str] = field(default_factory=set)
    """Tenants in which a run began to wait for an executor."""

    def run_changed(self, tenant: str, run: str, events: Sequence[Event] = ()) -> None:
        self.stale.append(self.keys.key("task_record", tenant, run))
        if events:
            self.news.append(News(tenant, run, events[-1].seq, events))

    def run_changed_much(self, tenant: str, run: str, newest: int) -> None:
        """As `run_changed`, by more events than are kept in memory: who watches reads them."""
        self.stale.append(self.keys.key("task_record", tenant, run))
        self.news.append(News(tenant, run, newest, ()))

    def entries_changed(self, tenant: str, run: str, keys: Iterable[str]) -> None:
        """Entries of the run's data cache."""
        of_run = self.keys.key("data_cache", tenant, run, "")
        self.stale += [of_run + escape(key) for key in keys]


Work = Callable[[Transaction, Effects], Awaitable[T]]


class Committer:
    """Runs transactions; afterwards invalidates, wakes watchers and claimers, in one pipeline."""

    def __init__(self, redis: RedisClient, keys: KeySpace, hub: Hub, wakeups: Wakeups) -> None:
        self._redis = redis
        self._keys = keys
        self._hub = hub
        self._wakeups = wakeups
        self.expired_leases = 0
        """How many of the committed."""
        self._running: set[asyncio.Future[Any]] = set()

    async def settle(self, seconds: float) -> None:
        """Returns when nothing is under way, for callers who left may have left work behind.

        What takes longer than `seconds` waits for a store that does not answer.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._running:
                    await asyncio.wait(self._running)

    async def run(
        self,
        pool: Pool,
        work: Work[T],
        remaining: Deadline = lambda: None,
        *,
        validate_only: bool = False,
        wait_for_locks: bool = True,
    ) -> T:
        """What `work` answers, once it is committed and others cannot read older values.

        `work` may run more than once. With `validate_only` it is rolled back. A caller who leaves
        does not stop it halfway: what was committed is announced. But it is not tried again, for
        the caller may have asked elsewhere by then.
        """
        left = False
        running = asyncio.ensure_future(
            self._run(
                pool,
                work,
                lambda: 0.0 if left else remaining(),
                validate_only=validate_only,
                wait_for_locks=wait_for_locks,
            )
        )
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        running.add_done_callback(_heard)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            left = True
            raise

    async def _run(
        self,
        pool: Pool,
        work: Work[T],
        remaining: Deadline,
        *,
        validate_only: bool,
        wait_for_locks: bool,
    ) -> T:
        effects = Effects(self._keys)

        async def attempt(tx: Transaction) -> T:
            nonlocal effects
            effects = Effects(self._keys)
            return await work(tx, effects)

        answer = await pool.run(
            attempt, remaining, commit=not validate_only, wait_for_locks=wait_for_locks
        )
        if not validate_only:
            self.expired_leases += effects.expired_leases
            await self._announce(effects)
        return answer

    async def _announce(self, effects: Effects) -> None:
        publish = [
            (self._keys.key("watch", one.tenant, one.run), pack(one.newest, one.events))
            for one in effects.news
        ]
        claims = [self._keys.key("claim", tenant) for tenant in effects.claimable]
        feeds = [self._keys.key("feed", tenant) for tenant in {one.tenant for one in effects.news}]
        publish += [(channel, b"") for channel in claims + feeds]
        await self._redis.committed(effects.stale, publish)
        for channel in claims + feeds:
            self._wakeups.tell(channel)
        for one in effects.news:
            self._hub.publish(one.tenant, one.run, one.newest, one.events)


def _heard(running: asyncio.Future[Any]) -> None:
    """Failures are for the caller; if that one has left, for nobody."""
    if not running.cancelled():
        running.exception()
