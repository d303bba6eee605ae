"""The event log of runs: appended to under the run's row lock, read by seq."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Any

import sqlalchemy as sa
from vwed.v1.task_record_event_pb2 import TaskRecordEvent

from vwed_grpc.domain.wire_format import merged
from vwed_grpc.loop.turns import in_turns
from vwed_grpc.storage import models
from vwed_grpc.storage.listing import Listing
from vwed_grpc.storage.paged_delete import PagedDelete
from vwed_grpc.storage.pool import ReadingPool
from vwed_grpc.storage.statement import Statement
from vwed_grpc.storage.transaction import Transaction

events = models.TaskRecordEvent.__table__


class Kind(IntEnum):
    """What happened, as the column `kind` has it."""

    RUN = 1
    BLOCK = 2
    SIGNAL = 3
    FINISHED = 4
    """The run's own event that made it final: watches of the run end after it."""
    DELETED = 5


@dataclass(frozen=True, slots=True)
class Event:
    """One change of a run. `event` is a serialized TaskRecordEvent of VIEW_BASIC.

    `payload` is the field of what changed once more, with the payload fields alone: VIEW_FULL has
    them beside the others.
    `group_seq` is the last seq of the report or transition that the event belongs to.
    """

    seq: int
    group_seq: int
    kind: int
    event: bytes
    payload: bytes | None

    @property
    def size(self) -> int:
        """Bytes that it takes in memory, about."""
        return len(self.event) + len(self.payload or b"") + 200

    def body(self, *, full: bool) -> bytes:
        """The serialized TaskRecordEvent of VIEW_FULL, or of VIEW_BASIC."""
        return merged(self.event, self.payload) if full and self.payload else self.event


APPEND = Statement("""
    INSERT INTO task_record_events
           (tenant, task_record_id, seq, group_seq, kind, event_time, event, payload)
    SELECT :tenant, u.run, u.seq, u.group_seq, u.kind, :now, u.event, u.payload
      FROM unnest(CAST(:runs AS text[]), CAST(:seqs AS bigint[]), CAST(:group_seqs AS bigint[]),
                  CAST(:kinds AS smallint[]), CAST(:events AS bytea[]), CAST(:payloads AS bytea[]))
           AS u (run, seq, group_seq, kind, event, payload)
""")

_READ = Statement("""
    SELECT seq, group_seq, kind, event, payload
      FROM (SELECT *, sum(weight) OVER (ORDER BY seq) - weight AS before
              FROM (SELECT seq, group_seq, kind, event, octet_length(event)
                           + CASE WHEN CAST(:full AS boolean)
                                  THEN coalesce(octet_length(payload), 0) ELSE 0 END AS weight,
                           CASE WHEN CAST(:full AS boolean) THEN payload END AS payload
                      FROM task_record_events
                     WHERE tenant = :tenant AND task_record_id = :run AND seq > :after_seq
                     ORDER BY seq LIMIT :limit) page) sized
     WHERE before < :max_bytes ORDER BY seq
""")


def appended(
    tenant: str, now: datetime, runs: Iterable[tuple[str, Sequence[Event]]]
) -> dict[str, Any]:
    """The parameters of APPEND: events of any number of runs, whose rows are locked."""
    rows = [(run, event) for run, batch in runs for event in batch]
    return {
        "tenant": tenant,
        "now": now,
        "runs": [run for run, _ in rows],
        "seqs": [e.seq for _, e in rows],
        "group_seqs": [e.group_seq for _, e in rows],
        "kinds": [int(e.kind) for _, e in rows],
        "events": [e.event for _, e in rows],
        "payloads": [e.payload for _, e in rows],
    }


async def append(tx: Transaction, tenant: str, runs: Iterable[tuple[str, Sequence[Event]]]) -> None:
    """Writes events; see `appended`."""
    await tx.fetch(APPEND, appended(tenant, tx.now, runs))


async def read(
    pool: ReadingPool,
    tenant: str,
    run: str,
    after_seq: int,
    *,
    full: bool,
    limit: int = 1000,
    max_bytes: int = 3 << 20,
) -> list[Event]:
    """The next events, in order: at most `limit`, and about `max_bytes` or one event."""
    rows = await pool.fetch(
        _READ,
        {
            "tenant": tenant,
            "run": run,
            "after_seq": after_seq,
            "full": full,
            "limit": limit,
            "max_bytes": max_bytes,
        },
    )
    return await in_turns(lambda r: Event(r.seq, r.group_seq, r.kind, r.event, r.payload), rows)


async def read_groups(
    pool: ReadingPool, tenant: str, run: str, after_seq: int, *, full: bool
) -> list[Event]:
    """The next whole reports and transitions, about 512 KiB of them.

    One that is larger comes up to 3 MiB, which 32,000 small events are; only what is larger still
    is cut.
    """
    found = await read(pool, tenant, run, after_seq, full=full, max_bytes=512 << 10)
    whole = [e for e in found if e.group_seq <= found[-1].seq]
    if found and not whole:
        found = await read(pool, tenant, run, after_seq, full=full, limit=32_000)
        whole = [e for e in found if e.group_seq <= found[-1].seq]
    return whole or found


@dataclass(frozen=True, slots=True)
class Extent:
    """What is kept of a run's history: its oldest and newest seq, and how it ended."""

    oldest_seq: int
    newest_seq: int
    final_seq: int | None
    deleted: bool


_EXTENT = Statement("""
    SELECT (SELECT min(seq) FROM task_record_events e
             WHERE e.tenant = :tenant AND e.task_record_id = :run) AS oldest,
           l.seq AS newest, l.kind,
           r.seq AS run_seq, r.final_seq
      FROM (SELECT 1) one
      LEFT JOIN task_records r ON r.tenant = :tenant AND r.id = :run
      LEFT JOIN LATERAL (SELECT seq, kind FROM task_record_events e
             WHERE e.tenant = :tenant AND e.task_record_id = :run
             ORDER BY seq DESC LIMIT 1) l ON true
""")


async def extent(pool: ReadingPool, tenant: str, run: str) -> Extent | None:
    """None: there is no such run and no history of one."""
    row = (await pool.fetch(_EXTENT, {"tenant": tenant, "run": run}))[0]
    newest = row.run_seq if row.run_seq is not None else row.newest
    if newest is None:
        return None
    return Extent(
        # Everything may have been pruned: then the next event is the oldest that can be had.
        oldest_seq=row.oldest or newest + 1,
        newest_seq=newest,
        final_seq=row.final_seq,
        deleted=row.run_seq is None,
    )


_NEWEST = Statement(
    "SELECT id, seq FROM task_records WHERE tenant = :tenant AND id = ANY(CAST(:ids AS text[]))"
)


async def newest(pool: ReadingPool, tenant: str, runs: Sequence[str]) -> dict[str, int]:
    """Each run's newest seq; of a run that was deleted none."""
    found = await pool.fetch(_NEWEST, {"tenant": tenant, "ids": runs})
    return {row.id: row.seq for row in found}


# Each look-up goes by itself along the index whose order it asks for (BETWEEN, since of what is
# equal there is no order): with statistics of a time when the tenant had few runs PostgreSQL would
# read all of them for every event.
_AGED = Statement("""
    SELECT DISTINCT task_record_id FROM (
        SELECT old.task_record_id FROM task_record_events old
         WHERE old.tenant = :tenant AND old.event_time < :before
           AND (SELECT r.pinned FROM task_records r
                 WHERE r.tenant = :tenant
                   AND r.id BETWEEN old.task_record_id AND old.task_record_id
                 ORDER BY r.id LIMIT 1) IS NOT TRUE
         LIMIT 10000) found
     LIMIT :runs
""")
_PRUNE = PagedDelete(
    "task_record_events", "seq", "bigint", -1, only="event_time < CAST(:before AS timestamptz)"
)
_PRUNED_AT_ONCE = 50_000
"""Events that one transaction prunes, or a page more."""


async def prune(tx: Transaction, tenant: str, before: datetime, runs: int) -> bool:
    """Deletes events of some runs that are older than `before`; False if there are none.

    Of each run the first ones first, so that what is left has no gap. Pinned runs keep theirs.
    """
    aged = await tx.fetch(_AGED, {"tenant": tenant, "before": before, "runs": runs})
    pruned = 0
    ids = [row.task_record_id for row in aged]
    async for page in _PRUNE.pages(tx, tenant, ids, before=before):
        pruned += len(page)
        if pruned >= _PRUNED_AT_ONCE:
            break
    return pruned > 0


_ANY = Statement(
    "SELECT seq FROM task_record_events WHERE tenant = :tenant AND task_record_id = :run LIMIT 1"
)


async def exists(tx: Transaction, tenant: str, run: str) -> bool:
    """Whether a deleted run's events still keep its id taken."""
    return bool(await tx.fetch(_ANY, {"tenant": tenant, "run": run}))


def where(tenant: str, run: str, after_seq: int) -> list[sa.ColumnElement[bool]]:
    """The conditions that a run's events after a seq meet: for `LISTING`."""
    c = events.c
    return [c.tenant == tenant, c.task_record_id == run, c.seq > after_seq]


def _reader(names: tuple[str, ...]) -> Callable[[sa.Row[Any]], TaskRecordEvent]:
    full = "payload" in names

    def read(row: sa.Row[Any]) -> TaskRecordEvent:
        message = TaskRecordEvent.FromString(row.event)
        if full and row.payload:
            message.MergeFromString(row.payload)
        return message

    return read


LISTING = Listing(
    source=events,
    columns=[events.c.seq, events.c.event],
    payload=[events.c.payload],
    identity=events.c.seq,
    orders={"seq": events.c.seq},
    reader=_reader,
)
