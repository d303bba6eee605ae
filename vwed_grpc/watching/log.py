"""A tenant's new events in this process: read once, however many watch.

While somebody watches many runs of a tenant, one task reads its log in the order of transactions
and keeps the newest of it. Watchers that are up to date are fed from here; who lags reads the
pool, in the turns of `catch_up`, until it has caught up.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from vwed.v1.task_record_event_pb2 import TaskRecordEvent

from vwed_grpc.cache.keys import KeySpace
from vwed_grpc.storage import feed, rows
from vwed_grpc.storage.database import Database
from vwed_grpc.storage.feed import Horizon, Position
from vwed_grpc.telemetry.meters import Observe
from vwed_grpc.watching.catch_up import CatchUp
from vwed_grpc.watching.chunk import Chunk
from vwed_grpc.watching.reading import LogReader
from vwed_grpc.watching.sleep import Sleep
from vwed_grpc.watching.wakeups import POLL_SECONDS, POLL_SECONDS_ALONE, Wakeups

KEPT_SECONDS = 10.0
KEPT_BYTES = 4 << 20
"""The newest of a tenant's log, for watchers that take it as it comes."""
SETTLE_SECONDS = 0.05
"""After a wake-up: how soon to look again while older transactions are still under way."""
PAUSE_SECONDS, LONGEST_PAUSE = 0.002, 0.2
"""Between two readings, for each watcher: what comes meanwhile is told them together."""


class TailedLog:
    """The newest of one tenant's log."""

    def __init__(
        self,
        tenant: str,
        database: Database,
        wakeups: Wakeups,
        catch_up: CatchUp,
        observe_lag: Observe,
    ) -> None:
        """`observe_lag` hears how old the oldest event of each reading was, in seconds."""
        self.tenant = tenant
        self.horizon: Horizon | None = None
        """Of the last reading."""
        self.end = Position(0)
        """Everything up to here was read."""
        self.reads = 0
        self._observe_lag = observe_lag
        self._start: Position | None = None
        self._database = database
        self._wakeups = wakeups
        self.catch_up = catch_up
        self._chunks: deque[tuple[float, Chunk]] = deque()
        self._bytes = 0
        self._watchers: set[Sleep] = set()
        self._woken = asyncio.Event()
        self._failure: Exception | None = None

    @contextmanager
    def watcher(self) -> Iterator[Sleep]:
        """A sleep that whatever is new ends."""
        sleep = Sleep()
        self._watchers.add(sleep)
        try:
            yield sleep
        finally:
            self._watchers.discard(sleep)
            sleep.end()

    async def after(self, at: Position) -> Chunk | None:
        """The chunk that goes on from a position, made once for all who stand there or near.

        None: there is nothing after it up to `end`. Raises what kept the log from being read.
        """
        if self._failure is not None:
            raise self._failure
        if self._start is None or at >= self.end:
            return None
        if at < self._start:
            return await self.catch_up.ask(
                self.tenant,
                ("log", at),
                lambda: self._read_after(at),
                lambda chunk: 2 * chunk.size,
            )
        found = None
        for _, chunk in reversed(self._chunks):
            if chunk.end <= at:
                break
            found = chunk
        return found

    async def _read_after(self, at: Position) -> Chunk:
        chunk, _ = await LogReader(self._database.bulk, self.tenant, at).next()
        return chunk

    def wake(self, _: bytes | None = None) -> None:
        self._woken.set()

    async def run(self) -> None:
        """Follows the log until cancelled, or until it cannot be read."""
        try:
            await self._follow()
        except Exception as exc:  # noqa: BLE001 - whatever it is, each watcher tells its caller
            self._failure = exc
            self._wake_watchers()

    async def _follow(self) -> None:
        self.horizon = await feed.horizon(self._database.live)
        self.end = self._start = Position(self.horizon.readable)
        self._wake_watchers()
        reader = LogReader(self._database.live, self.tenant, self.end)
        settled = 0
        while True:
            woken = self._woken.is_set()
            self._woken.clear()
            complete = await self._read(reader)
            if woken:
                settled = self.horizon.begun  # what woke us has a number below this
            if not complete:
                continue
            await asyncio.sleep(min(PAUSE_SECONDS * len(self._watchers), LONGEST_PAUSE))
            await self._pause(settling=self.horizon.readable < settled)

    async def _read(self, reader: LogReader) -> bool:
        """Whether everything that can be read was."""
        chunk, complete = await reader.next()
        self.reads += 1
        self.horizon, self.end = chunk.horizon, chunk.end
        now = asyncio.get_running_loop().time()
        if chunk.changes:
            first = TaskRecordEvent.FromString(chunk.changes[0].event.event)
            said = rows.moment(first.event_time)
            self._observe_lag(max((chunk.horizon.time - said).total_seconds(), 0.0))
            if self._chunks:
                self._chunks[-1][1].forget_told()
            self._chunks.append((now, chunk))
            self._bytes += chunk.size
            self._wake_watchers()
        while self._chunks and (
            self._bytes > KEPT_BYTES or self._chunks[0][0] < now - KEPT_SECONDS
        ):
            _, oldest = self._chunks.popleft()
            self._bytes -= oldest.size
            self._start = oldest.end
        return complete

    async def _pause(self, *, settling: bool) -> None:
        """Until something may have happened."""
        wait = POLL_SECONDS if self._wakeups.connected else POLL_SECONDS_ALONE
        with suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_SECONDS if settling else wait):
                await self._woken.wait()

    def _wake_watchers(self) -> None:
        for sleep in self._watchers:
            sleep.wake()


@dataclass(slots=True)
class _Followed:
    log: TailedLog
    task: asyncio.Task[None]
    watchers: int = 0


class TailedLogs:
    """Those of all tenants of whom somebody watches many runs."""

    def __init__(
        self,
        database: Database,
        wakeups: Wakeups,
        keys: KeySpace,
        catch_up: CatchUp,
        observe_lag: Observe,
    ) -> None:
        self._observe_lag = observe_lag
        self._database = database
        self._wakeups = wakeups
        self._keys = keys
        self._catch_up = catch_up
        self._followed: dict[str, _Followed] = {}

    @contextmanager
    def of(self, tenant: str) -> Iterator[TailedLog]:
        """The tenant's, followed while somebody is in here."""
        followed = self._followed.get(tenant)
        if followed is None or followed.task.done():
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

    def _follow(self, tenant: str) -> _Followed:
        log = TailedLog(tenant, self._database, self._wakeups, self._catch_up, self._observe_lag)

        async def follow() -> None:
            with self._wakeups.listen(self._keys.key("feed", tenant), log.wake):
                await log.run()

        return _Followed(log, asyncio.create_task(follow()))
