"""Watchers who come and go, on any replica, and write down all that they see."""

import asyncio
import random
import time
from collections.abc import Coroutine
from typing import Any

import grpc
from vwed.v1.common_pb2 import View
from vwed.v1.record_service_pb2 import (
    WatchTaskRecordRequest,
    WatchTaskRecordResponse,
    WatchTaskRecordsRequest,
    WatchTaskRecordsResponse,
)

from tests.faults import errors_met
from tests.faults.checker import Arrival, Stream, WatchLog
from tests.faults.feed_checker import FeedLog, FeedStream, Seen
from tests.faults.fleet import Fleet, seconds
from tests.faults.history import digest
from tests.support.waiting import PATIENCE
from vwed.client import error_info, is_transient

STAY = 2.5
"""Seconds that a watcher stays on one connection, on the average."""
LONGEST_STAY = 4.0
ALL_TOLD = 2
"""Bookmarks in a row: progress may still wait to be told when the first one comes."""
RECENT = 12
GOES_ON = ("LEFT", "BROKEN")
LOST = "RESUME_TOKEN_UNKNOWN"
"""What was told last may not have been in the standby's log yet."""


async def watcher(fleet: Fleet, name: str, logs: list[WatchLog], *, brisk: bool) -> None:
    """Follows one run after the other to its end, while there are runs."""
    rng = random.Random(fleet.random.random())
    while not fleet.over.is_set():
        if not fleet.runs:
            await asyncio.sleep(0.1)
            continue
        log = WatchLog(
            watcher=name,
            run=rng.choice(fleet.runs[-RECENT:]),
            full=rng.random() < 0.5,
            bookmark=rng.choice([1.0, 2.0]),
            brisk=brisk,
        )
        logs.append(log)
        await follow(fleet, log, rng)


async def follow(fleet: Fleet, log: WatchLog, rng: random.Random, patience: float = STAY) -> None:
    """Watches one run to its end, through any number of connections."""
    await _Following(fleet, log, rng, patience).until_the_end()


class _Following:
    """One watcher's way through one run."""

    def __init__(self, fleet: Fleet, log: WatchLog, rng: random.Random, patience: float) -> None:
        self._fleet = fleet
        self._log = log
        self._rng = rng
        self._patience = patience
        self._seq: int | None = rng.choice([None, 0])

    async def until_the_end(self) -> None:
        while True:
            stream = await self._connect()
            if stream.ending not in GOES_ON:
                return
            await asyncio.sleep(self._rng.uniform(0, 0.2))

    async def _connect(self) -> Stream:
        """One connection, for as long as patience, server and network allow."""
        stream = Stream(after_seq=self._seq, opened=time.time())
        self._log.streams.append(stream)
        client = self._rng.choice(self._fleet.clients)
        call = client.records.WatchTaskRecord(
            WatchTaskRecordRequest(
                task_record_id=self._log.run,
                after_seq=self._seq,
                view=View.VIEW_FULL if self._log.full else View.VIEW_BASIC,
                bookmark_interval=seconds(self._log.bookmark),
            )
        )

        async def read() -> None:
            await call.initial_metadata()
            stream.opened = time.time()
            async for message in call:
                self._note(stream, message)
                if not self._log.brisk:
                    await asyncio.sleep(self._rng.uniform(0, 0.1))

        stream.ending = await _ending(
            self._fleet, call, read(), self._rng.expovariate(1 / self._patience)
        )
        stream.closed = time.time()
        return stream

    def _note(self, stream: Stream, message: WatchTaskRecordResponse) -> None:
        states = message.snapshot
        stream.arrivals.append(
            Arrival(
                at=time.time(),
                seqs=[event.seq for event in message.events],
                digests=[0 if states else digest(event) for event in message.events],
                size=message.ByteSize(),
                snapshot=states,
                more=message.more,
                bookmark=message.bookmark_seq,
            )
        )
        if message.events:
            self._seq = message.events[-1].seq
        elif states:
            self._seq = message.bookmark_seq


async def feed_watcher(fleet: Fleet, log: FeedLog, done: asyncio.Event) -> None:
    """Follows all runs until told that nothing more will come."""
    rng = random.Random(fleet.random.random())
    token, last, bookmarks = "", False, 0
    while not last and bookmarks < ALL_TOLD:
        last = done.is_set()  # then one more look, until everything was told
        stream = FeedStream(resumed=bool(token), opened=time.time())
        log.streams.append(stream)
        call = rng.choice(fleet.clients).records.WatchTaskRecords(
            WatchTaskRecordsRequest(
                include_blocks=log.blocks,
                view=View.VIEW_FULL if log.full else View.VIEW_BASIC,
                resume_token=token,
                bookmark_interval=seconds(1),
            )
        )

        async def read(call: Any = call, stream: FeedStream = stream) -> None:
            nonlocal token, bookmarks
            await call.initial_metadata()
            stream.opened = time.time()
            async for message in call:
                stream.seen += _seen(message)
                if message.snapshot:
                    stream.present = time.time()
                token = message.resume_token
                is_bookmark = done.is_set() and not message.events and not message.snapshot
                bookmarks = bookmarks + 1 if is_bookmark else 0
                if bookmarks == ALL_TOLD:
                    raise TimeoutError

        stay = PATIENCE if last else min(rng.expovariate(1 / STAY), LONGEST_STAY)
        stream.ending = await _ending(fleet, call, read(), stay)
        stream.closed = time.time()
        if LOST in stream.ending:
            token = ""
        await asyncio.sleep(rng.uniform(0, 0.2))


def _seen(message: WatchTaskRecordsResponse) -> list[Seen]:
    now = time.time()
    return [
        Seen(
            event.task_record_id,
            event.seq,
            digest(event),
            now,
            message.snapshot,
            event.task_record.seq if message.snapshot else 0,
        )
        for event in message.events
    ]


async def _ending(fleet: Fleet, call: Any, reading: Coroutine[Any, Any, None], stay: float) -> str:
    """OK; LEFT, by the watcher; BROKEN, by network or server; else what the service says."""
    try:
        async with asyncio.timeout(stay):
            await reading
    except TimeoutError:
        return "LEFT"
    except grpc.aio.AioRpcError as exc:
        fleet.meet("a watch", errors_met.said(exc))
        if is_transient(exc):
            return "BROKEN"
        info = error_info(exc)
        said = f"{info.reason} {dict(info.metadata)}" if info else exc.details()
        return f"{exc.code().name} {said}"
    finally:
        call.cancel()
    return "OK"
