"""Watching one run: the contract's promises, kept by reading one event log in order."""

import asyncio
from collections.abc import AsyncIterator

from vwed.v1.record_service_pb2 import WatchTaskRecordResponse

from vwed_grpc.domain.errors import NotFound, OutOfRange
from vwed_grpc.domain.lifecycle import FINAL
from vwed_grpc.loop.offload import in_thread
from vwed_grpc.storage import events, task_records
from vwed_grpc.storage.events import Extent, Kind
from vwed_grpc.storage.pool import ReadingPool
from vwed_grpc.watching.events import Batch, batch, is_large, messages
from vwed_grpc.watching.log import TailedLog
from vwed_grpc.watching.sleep import Sleep
from vwed_grpc.watching.snapshot import states_of_run
from vwed_grpc.watching.topic import Topic

_SNAPSHOT = WatchTaskRecordResponse(snapshot=True).SerializeToString()


class Watch:
    """One stream: where it stands is `seq`, the last one that was sent."""

    def __init__(
        self, log: TailedLog, pool: ReadingPool, run: str, *, full: bool, bookmark: float
    ) -> None:
        self._log = log
        self._pool = pool
        self._tenant = log.tenant
        self._run = run
        self._full = full
        self._bookmark = bookmark
        self.seq = 0
        self.lags = True
        """It has yet to catch up with what the topic holds."""

    async def messages(self, after_seq: int | None) -> AsyncIterator[bytes]:
        """Serialized WatchTaskRecordResponses; ends after the event that made the run final.

        Raises:
            NotFound: no such run, or TASK_RECORD_DELETED.
            OutOfRange: `after_seq` is before what retention kept, or after what exists.
        """
        with self._log.topic(self._run) as topic:
            extent = await events.extent(self._pool, self._tenant, self._run)
            if extent is None:
                raise task_records.missing(self._run)
            if extent.deleted:
                raise _deleted(self._run)
            topic.begin(extent.newest_seq)
            if after_seq is None:
                run = await task_records.get_run(self._pool, self._tenant, self._run)
                if run is None:
                    raise _deleted(self._run)
                async for message in self._snapshot(run):
                    yield message
                if run.record.status in FINAL:
                    return
            else:
                self.seq = resume(extent, after_seq)
                if extent.final_seq is not None and self.seq >= extent.final_seq:
                    return
            with topic.sleepers.one() as sleep:
                async for message in self._changes(topic, sleep):
                    yield message

    async def _snapshot(self, run: task_records.Run) -> AsyncIterator[bytes]:
        """Present states; the last message of all says how far they go."""
        held: bytes | None = None
        async for states in states_of_run(
            self._pool, self._log.catch_up, self._tenant, run, full=self._full
        ):
            for message in messages(states, full=True):
                if held is not None:
                    yield held
                held = message + _SNAPSHOT
        self.seq = run.record.seq
        yield (held or _SNAPSHOT) + _bookmark(self.seq)

    async def _changes(self, topic: Topic, sleep: Sleep) -> AsyncIterator[bytes]:
        """Everything after `seq`, as it happens; bookmarks while nothing does."""
        now = asyncio.get_running_loop().time
        said = now()
        while True:
            news = topic.after(self.seq, full=self._full)
            self.lags = news is None and self.seq < topic.end
            if self.lags:
                news = await self._read()
            if news is not None:
                for message in news.messages:
                    yield message
                said = now()
                self.seq = news.end
                if news.closed_by == Kind.DELETED:
                    raise _deleted(self._run)
                if news.closed_by == Kind.FINISHED:
                    return
            elif self.seq < topic.newest:
                await self._log.fill(self._run)
            elif now() >= said + self._bookmark:
                yield _bookmark(self.seq)
                said = now()
            else:
                await sleep.until(said + self._bookmark)

    async def _read(self) -> Batch:
        """The next events from the log, for a reader that lags behind the topic."""
        seq, full = self.seq, self._full

        async def read() -> Batch | None:
            found = await events.read_groups(self._pool, self._tenant, self._run, seq, full=full)
            if not found or found[0].seq != seq + 1:
                return None
            if is_large(found):
                return await in_thread(batch, found, full=full)
            return batch(found, full=full)

        place = "events", self._run, seq, full
        read_ = await self._log.catch_up.ask(self._tenant, place, read, _size)
        if read_ is None:
            raise await self._why_lost()
        return read_

    async def _why_lost(self) -> NotFound | OutOfRange:
        extent = await events.extent(self._pool, self._tenant, self._run)
        if extent is None or extent.deleted:
            return _deleted(self._run)
        return _out_of_range(extent, self.seq)


def _size(read: Batch | None) -> int:
    return sum(map(len, read.messages)) if read else 0


def resume(extent: Extent, after_seq: int) -> int:
    """Where a stream goes on: at `after_seq`, or (0) before everything kept.

    Raises OutOfRange if events after it are gone, or it is beyond what exists.
    """
    if after_seq == 0:
        return extent.oldest_seq - 1
    if not extent.oldest_seq - 1 <= after_seq <= extent.newest_seq:
        raise _out_of_range(extent, after_seq)
    return after_seq


def _out_of_range(extent: Extent, after_seq: int) -> OutOfRange:
    return OutOfRange(
        "SEQ_OUT_OF_RANGE",
        f"after_seq {after_seq}: events from {extent.oldest_seq} to {extent.newest_seq} are kept",
        metadata={
            "oldest_seq": str(extent.oldest_seq),
            "current_seq": str(extent.newest_seq),
        },
    )


def _deleted(run: str) -> NotFound:
    return NotFound("TASK_RECORD_DELETED", f"task_record {run!r} was deleted", metadata={"id": run})


def _bookmark(seq: int) -> bytes:
    return WatchTaskRecordResponse(bookmark_seq=seq).SerializeToString()
