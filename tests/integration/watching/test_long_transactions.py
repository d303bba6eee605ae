"""A transaction that takes long, anybody's, keeps no watch from what others have committed."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
from vwed.v1.record_service_pb2 import WatchTaskRecordsResponse
from vwed.v1.task_record_event_pb2 import TaskRecordEvent
from vwed.v1.task_record_pb2 import TaskRecord

from tests.integration.watching.test_watch_delivery import replica
from tests.support.feeding import FeedReader, feeding
from tests.support.steps import block, report, running
from vwed.client import Client
from vwed_grpc.domain.blocks import RUNNING
from vwed_grpc.settings import Settings
from vwed_grpc.storage.events import Kind

Connection = psycopg.AsyncConnection[Any]


@asynccontextmanager
async def numbered(database_url: str) -> AsyncIterator[Connection]:
    """A transaction that has a number already, and does not end before it is told to."""
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        await connection.execute("SELECT pg_current_xact_id()")
        yield connection


async def write(connection: Connection, tenant: str, run: str, seqs: Sequence[int]) -> None:
    """Events of a run, by a transaction that has waited for its row."""
    for seq in seqs:
        event = TaskRecordEvent(task_record_id=run, seq=seq, task_record=TaskRecord(id=run))
        await connection.execute(
            """INSERT INTO task_record_events
                      (tenant, task_record_id, seq, group_seq, kind, event_time, event)
               VALUES (%s, %s, %s, %s, %s, now(), %s)""",
            (tenant, run, seq, seqs[-1], int(Kind.RUN), event.SerializeToString()),
        )


@pytest.mark.parametrize("url", [None, "none"])
async def test_a_feed_is_told_meanwhile_and_complete_afterwards(
    client: Client, settings: Settings, database_url: str, tenant: str, url: str | None
) -> None:
    """By this server's commits, by another's with Redis, and without Redis at all."""
    run = (await running(client)).id
    async with (
        replica(settings, tenant, url or settings.redis_url) as other,
        numbered(database_url),
        numbered(database_url) as late,
        feeding(client, include_blocks=True) as seen,
        feeding(other, include_blocks=True) as seen_elsewhere,
    ):
        for n in range(3):
            for writer in (client, other):
                name = f"{n}-{id(writer)}"
                last = (await report(writer, run, block(name, RUNNING))).seqs[-1]
                await seen.reach(run, last)
                await seen_elsewhere.reach(run, last)
        # What has an old number, and is committed after all that was told.
        await write(late, tenant, "late", [1, 2])
        await write(late, tenant, run, [last + 1])
        await late.commit()
        for reader in (seen, seen_elsewhere):
            await reader.reach("late", 2)
            await reader.reach(run, last + 1)
            assert reader.seqs("late") == [1, 2]
            assert reader.seqs(run) == list(range(3, last + 2))
            for message in reader.messages:
                await misses_nothing(other, reader, message, {"late": 2, run: last + 1})


async def misses_nothing(
    client: Client, reader: FeedReader, message: WatchTaskRecordsResponse, ends: dict[str, int]
) -> None:
    """Whoever resumes after this message of a reader's; repeats are allowed."""
    before = reader.told_by(message)
    async with feeding(client, message.resume_token, include_blocks=True) as resumed:
        for run, end in ends.items():
            first = before.get(run, 0 if run == "late" else 2) + 1
            if first <= end:
                await resumed.reach(run, end)
                assert set(range(first, end + 1)) <= set(resumed.seqs(run))
