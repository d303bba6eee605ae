"""The one way to write: a transaction, then what others must hear of it, then the answer."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from vwed_grpc.cache.keys import KeySpace, escape
from vwed_grpc.cache.redis_client import RedisClient
from vwed_grpc.storage.events import Event
from vwed_grpc.storage.incarnation import Incarnation
from vwed_grpc.storage.pool import Deadline, Pool
from vwed_grpc.storage.transaction import Transaction
from vwed_grpc.watching.log import TailedLogs
from vwed_grpc.watching.news import NEWS, News, pack
from vwed_grpc.watching.wakeups import Wakeups

T = TypeVar("T")


@dataclass(slots=True)
class Effects:
    """What follows a commit."""

    keys: KeySpace
    xact: int = 0
    """The transaction's number."""
    incarnation: Incarnation | None = None
    """Of the data that it changed."""
    stale: list[str] = field(default_factory=list)
    """Cache keys whose values are no longer true."""
    news: dict[str, list[News]] = field(default_factory=dict)
    """By tenant."""
    expired_leases: int = 0
    claimable: set[str] = field(default_factory=set)
    """Tenants in which a run began to wait for an executor."""

    def run_changed(
        self, tenant: str, run: str, events: Sequence[Event] = (), robot_id: str | None = None
    ) -> None:
        """`robot_id`: the run's robot, if it is known."""
        self.stale.append(self.keys.key("task_record", tenant, run))
        if events:
            news = News(run, events[-1].seq, events, robot_id, self.xact)
            self.news.setdefault(tenant, []).append(news)

    def run_changed_much(self, tenant: str, run: str, newest: int) -> None:
        """As `run_changed`, by more events than are kept in memory: who watches reads them."""
        self.stale.append(self.keys.key("task_record", tenant, run))
        self.news.setdefault(tenant, []).append(News(run, newest, ()))

    def entries_changed(self, tenant: str, run: str, keys: Iterable[str]) -> None:
        """Entries of the run's data cache."""
        of_run = self.keys.key("data_cache", tenant, run, "")
        self.stale += [of_run + escape(key) for key in keys]


Work = Callable[[Transaction, Effects], Awaitable[T]]


class Committer:
    """Runs transactions; afterwards invalidates, wakes watchers and claimers, in one pipeline."""

    def __init__(
        self, redis: RedisClient, keys: KeySpace, logs: TailedLogs, wakeups: Wakeups
    ) -> None:
        self._redis = redis
        self._keys = keys
        self._logs = logs
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
        finally:
            del running  # it holds its error, which holds this frame

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
            effects = Effects(self._keys, tx.xact, tx.incarnation)
            return await work(tx, effects)

        answer = await pool.run(
            attempt, remaining, commit=not validate_only, wait_for_locks=wait_for_locks
        )
        if not validate_only:
            self.expired_leases += effects.expired_leases
            await self._announce(effects)
        return answer

    async def _announce(self, effects: Effects) -> None:
        claims = [self._keys.key("claim", tenant) for tenant in effects.claimable]
        await self._redis.committed(effects.stale, self._messages(effects.news, claims))
        for channel in claims:
            self._wakeups.tell(channel)
        for tenant, news in effects.news.items():
            self._logs.tell(tenant, news, effects.incarnation)

    def _messages(
        self, news: Mapping[str, Sequence[News]], claims: Iterable[str]
    ) -> Iterator[tuple[str, bytes]]:
        """Made one by one as they are sent, and not at all while Redis is away."""
        for tenant, own in news.items():
            channel = self._keys.key(NEWS, tenant)
            yield self._wakeups.message(channel, pack(self._logs.origin, own))
        for channel in claims:
            yield self._wakeups.message(channel, b"")


def _heard(running: asyncio.Future[Any]) -> None:
    """Failures are for the caller; if that one has left, for nobody."""
    if not running.cancelled():
        running.exception()
