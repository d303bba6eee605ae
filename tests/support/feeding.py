"""A watch of many runs that is read in the background, and held to the contract all the while."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from vwed.v1.record_service_pb2 import WatchTaskRecordsRequest, WatchTaskRecordsResponse
from vwed.v1.task_record_event_pb2 import TaskRecordEvent
from vwed.v1.task_record_pb2 import TaskRecordFilter

from tests.support.steps import seconds
from tests.support.stream_reader import StreamReader
from vwed.client import Client


class FeedReader(StreamReader[WatchTaskRecordsResponse]):
    """What one stream has said so far.

    Every message is checked as it comes: it has a token; a run's changes are ordered, none twice.
    """

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[WatchTaskRecordsResponse] = []
        self.snapshot = defaultdict[str, list[TaskRecordEvent]](list)
        """Run -> its present states."""
        self.changes = defaultdict[str, list[TaskRecordEvent]](list)
        """Run -> what happened to it since."""
        self.arrived: dict[tuple[str, int], float] = {}
        """When each change came, by the loop's clock."""

    @property
    def token(self) -> str:
        """Where to resume after what was said last."""
        return self.messages[-1].resume_token

    @property
    def idle_messages(self) -> int:
        return sum(not m.events and not m.snapshot for m in self.messages)

    def told_by(self, message: WatchTaskRecordsResponse) -> dict[str, int]:
        """Run -> the last change that was told up to a message of this stream."""
        upto = next(n for n, one in enumerate(self.messages) if one is message)
        changes = [m for m in self.messages[: upto + 1] if not m.snapshot]
        return {event.task_record_id: event.seq for m in changes for event in m.events}

    def seqs(self, run: str) -> list[int]:
        return [event.seq for event in self.changes.get(run, ())]

    def _take(self, message: WatchTaskRecordsResponse) -> None:
        assert message.resume_token
        assert not message.snapshot or not self.changes
        self.messages.append(message)
        for event in message.events:
            told = (self.snapshot if message.snapshot else self.changes)[event.task_record_id]
            assert not told or told[-1].seq < event.seq
            told.append(event)
            name = event.task_record_id, event.seq
            self.arrived[name] = asyncio.get_running_loop().time()

    async def reach(self, run: str, seq: int) -> None:
        """Waits until a run's change `seq`, or one after it, was told."""
        await self.until(lambda: (self.seqs(run) or [0])[-1] >= seq)


@asynccontextmanager
async def feeding(
    client: Client, token: str = "", *, bookmark: float = 15, **request: Any
) -> AsyncIterator[FeedReader]:
    """Watches while entered; on the way out, what broke a promise is raised."""
    call = client.records.WatchTaskRecords(
        WatchTaskRecordsRequest(resume_token=token, bookmark_interval=seconds(bookmark), **request)
    )
    reader = FeedReader()
    reading = asyncio.create_task(reader.read(aiter(call)))
    try:
        await reader.until(lambda: bool(token or reader.messages))
        yield reader
    finally:
        call.cancel()
        try:
            await reading
        except asyncio.CancelledError:
            if not reading.cancelled():
                raise


def labelled(**labels: str) -> TaskRecordFilter:
    return TaskRecordFilter(labels=labels)
