"""What is left of a load once it has ended: nothing open, counts that are right, and in the end
nothing, when retention has done its work.
"""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vwed.v1.record_service_pb2 import CancelTaskRecordRequest, ListTaskRecordsRequest
from vwed.v1.task_record_pb2 import TaskRecordFilter

from tests.support.metrics_page import figures
from tests.support.steps import sql
from vwed.client import Client
from vwed_grpc.domain.blocks import BLOCK_COUNTS
from vwed_grpc.domain.lifecycle import OPEN

IDLE_SECONDS = 30.0
RETENTION_SECONDS = 240.0
"""More than three looks of the service for what is to be removed: of runs, and of what their
deletion has written.
"""
BUSY = ("vwed_open_calls", "vwed_open_streams", "vwed_queued_", "vwed_catch_ups_waiting")
CHILDREN = ("block_records", "data_cache", "task_record_labels")
TABLES = ("task_records", *CHILDREN, "task_record_events", "idempotency_keys")

_COUNTS = ", ".join(f"r.blocks_{name}" for name in (*BLOCK_COUNTS, "recorded"))
_FOUND = ", ".join(
    f"count(*) FILTER (WHERE latest AND status = {status})"
    for status in range(1, len(BLOCK_COUNTS) + 1)
)
_MISCOUNTED = f"""
    SELECT r.id, ROW({_COUNTS})::text AS told, found.counts::text AS found
      FROM task_records r, LATERAL (
        SELECT ROW({_FOUND}, count(*)) AS counts FROM (
            SELECT status, attempt = max(attempt) OVER (PARTITION BY block_id, iteration) AS latest
              FROM block_records b WHERE b.tenant = r.tenant AND b.task_record_id = r.id) each
      ) found
     WHERE ROW({_COUNTS})::text <> found.counts::text
"""
_ORPHANS = " UNION ALL ".join(
    f"""
    SELECT '{table}' AS "table", task_record_id AS run FROM {table} c
     WHERE NOT EXISTS (SELECT FROM task_records r
                        WHERE r.tenant = c.tenant AND r.id = c.task_record_id)
    """
    for table in CHILDREN
)
_LEFT = "SELECT " + ", ".join(f"(SELECT count(*) FROM {table}) AS {table}" for table in TABLES)
_AGE = (
    """
    UPDATE task_records SET end_time = end_time - interval '1 day'
     WHERE end_time > clock_timestamp() - interval '1 hour' RETURNING id
    """,
    """
    UPDATE task_record_events SET event_time = event_time - interval '1 day'
     WHERE event_time > clock_timestamp() - interval '1 hour' RETURNING seq
    """,
    """
    UPDATE idempotency_keys SET expire_time = clock_timestamp()
     WHERE expire_time > clock_timestamp() RETURNING request_id
    """,
)


async def cancel_all(client: Client) -> None:
    """Ends the tenant's runs."""
    request = ListTaskRecordsRequest(filter=TaskRecordFilter(statuses=sorted(OPEN)), page_size=1000)
    for run in (await client.records.ListTaskRecords(request)).task_records:
        await client.records.CancelTaskRecord(CancelTaskRecordRequest(id=run.id, force=True))


async def busy(pages: Sequence[str]) -> list[str]:
    """What is still under way on servers that nobody calls any more."""
    until = time.monotonic() + IDLE_SECONDS
    while True:
        found = [
            f"{name} is {value:g}"
            for page in pages
            for name, value in (await figures(page)).items()
            if name.startswith(BUSY) and value
        ]
        if not found or time.monotonic() > until:
            return found
        await asyncio.sleep(0.5)


async def wrong(database_url: str) -> list[str]:
    """Counts that are not those of the blocks, and rows whose run is gone."""
    miscounted = await sql(database_url, _MISCOUNTED)
    orphans = await sql(database_url, _ORPHANS)
    return [f"{row.id} has counts {row.told}, and blocks {row.found}" for row in miscounted] + [
        f"{row.table} has a row of {row.run}, which is gone" for row in orphans
    ]


async def left_a_day_later(database_url: str) -> list[str]:
    """What retention does not take although it is a day old. All runs have ended."""
    until = time.monotonic() + RETENTION_SECONDS
    while True:
        for statement in _AGE:
            await sql(database_url, statement)
        (left,) = await sql(database_url, _LEFT)
        if not any(left) or time.monotonic() > until:
            return [*_said(left._mapping)]
        await asyncio.sleep(5)


def _said(left: Mapping[Any, int]) -> Iterator[str]:
    yield from (f"{table} has {rows} rows" for table, rows in left.items() if rows)
