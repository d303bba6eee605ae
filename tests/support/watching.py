"""A watch that is read in the background, and held to the contract's promises all the while."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
from vwed.v1.common_pb2 import View
from vwed.v1.record_service_pb2 import WatchTaskRecordRequest, WatchTaskRecordResponse
from vwed.v1.task_record_event_pb2 import TaskRecordEvent

from tests.support.steps import seconds
from tests.support.stream_reader import StreamReader
from tests.support.waiting import PATIENCE
from vwed.client import Client


class Watcher(StreamReader[WatchTaskRecordResponse]):
    """What one watch has said so far.

    Every message is checked as it comes: changes are ordered, unique and without a gap; a snapshot
    is ordered, and its last message says how far it goes; a bookmark says where the stream stands.
    """

    def __init__(self, after_seq: int | None) -> None:
        super().__init__()
        self.messages: list[WatchTaskRecordResponse] = []
        self.snapshot = list[TaskRecordEvent]()
        self.changes = list[TaskRecordEvent]()
        self.bookmarks: list[float] = []
        """When each came, by the loop's clock."""
        self.arrived: dict[int, float] = {}
        """When each change came."""
        self.seq = after_seq or 0
        """The stream told everything up to here."""
        self._in_snapshot = after_seq is None

    def _take(self, message: WatchTaskRecordResponse) -> None:
        now = asyncio.get_running_loop().time()
        self.messages.append(message)
        assert message.snapshot == self._in_snapshot
        assert message.events or message.bookmark_seq or message.snapshot
        for event in message.events:
            if message.snapshot:
                assert event.seq > self.seq
                self.snapshot.append(event)
            else:
                assert event.seq == self.seq + 1
                self.changes.append(event)
                self.arrived[event.seq] = now
            self.seq = event.seq
        if message.snapshot:
            assert not message.more
            if message.bookmark_seq:
                assert message.bookmark_seq >= self.seq
                self.seq = message.bookmark_seq
                self._in_snapshot = False
        elif message.bookmark_seq:
            assert message.bookmark_seq == self.seq
            assert not message.more
            self.bookmarks.append(now)

    async def reach(self, seq: int) -> None:
        """Waits until everything up to `seq` was told."""
        await self.until(lambda: self.seq >= seq and not self._in_snapshot)
        assert self.seq >= seq, f"the stream ended at {self.seq}"


@asynccontextmanager
async def watching(
    client: Client,
    run: str,
    after_seq: int | None = None,
    *,
    view: View.ValueType = View.VIEW_BASIC,
    bookmark: float = 15,
) -> AsyncIterator[Watcher]:
    """Watches while entered; on the way out, what broke a promise is raised."""
    call = client.records.WatchTaskRecord(
        WatchTaskRecordRequest(
            task_record_id=run,
            after_seq=after_seq,
            view=view,
            bookmark_interval=seconds(bookmark),
        )
    )
    watcher = Watcher(after_seq)
    reading = asyncio.create_task(watcher.read(aiter(call)))
    try:
        yield watcher
    finally:
        call.cancel()
        try:
            await reading
        except asyncio.CancelledError:
            if not reading.cancelled():
                raise


async def watch_to_end(
    client: Client,
    run: str,
    after_seq: int | None = None,
    *,
    view: View.ValueType = View.VIEW_BASIC,
) -> Watcher:
    """The whole watch of a run that is final, or is about to be.

    Raises `grpc.aio.AioRpcError` if it does not end OK.
    """
    call = client.records.WatchTaskRecord(
        WatchTaskRecordRequest(task_record_id=run, after_seq=after_seq, view=view)
    )
    watcher = Watcher(after_seq)
    async with asyncio.timeout(PATIENCE):
        await watcher.read(aiter(call))
        assert await call.code() is grpc.StatusCode.OK
    return watcher
