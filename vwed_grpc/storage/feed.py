"""The event log of a whole tenant, in the order in which a reader can follow it without a miss.

Transactions commit out of order, so seqs and times cannot tell what is new. Each event bears its
transaction's number; below the oldest transaction still running nothing can be added any more, so
reading by (number, run, seq) below that horizon misses nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from vwed_grpc.storage import codecs
from vwed_grpc.storage.events import Event
from vwed_grpc.storage.pool import ReadingPool
from vwed_grpc.storage.statement import Statement


class Position(NamedTuple):
    """Everything up to here has been read."""

    xact: int
    run: str = ""
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Horizon:
    """What can be read now, and from when on everything that was under way then is readable."""

    readable: int
    """Every transaction below this number has ended."""
    begun: int
    """No transaction from this number on has begun."""
    time: datetime
    lsn: int | None
    """Up to here in the write-ahead log stands all that can be read now, if whoever takes this
    server's place has all of it too (synchronous replication); else None."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An event of a run, where it stands in the tenant's log."""

    position: Position
    event: Event
    robot_id: str | None
    """With a block's event: the run's robot as it is now, which heartbeats change without an event.
    None with others, and if the run is gone."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The events after one position, and up to the horizon if they are `complete`."""

    horizon: Horizon
    entries: list[Entry]
    complete: bool
    too_large: bool
    """Bytes, not their number, kept the rest out."""


_NOW = """
    SELECT (pg_snapshot_xmin(s)::text)::bigint AS readable,
           (pg_snapshot_xmax(s)::text)::bigint AS begun, clock_timestamp() AS now,
           CASE WHEN current_setting('synchronous_standby_names') <> ''
                THEN (pg_current_wal_flush_lsn() - '0/0')::bigint END AS lsn
      FROM pg_current_snapshot() s
"""
_HORIZON = Statement(_NOW)


async def horizon(pool: ReadingPool) -> Horizon:
    return _horizon((await pool.fetch(_HORIZON))[0])


def _horizon(row: sa.Row[Any]) -> Horizon:
    return Horizon(row.readable, row.begun, codecs.moment(row.now), row.lsn)


_ORDER = "xact, task_record_id, seq"
_READ = Statement(f"""
    SELECT h.readable, h.begun, h.now, h.lsn, e.*,
           CASE e.kind WHEN 2 THEN (SELECT r.robot_id FROM task_records r
                                     WHERE r.tenant = :tenant AND r.id = e.task_record_id)
           END AS robot_id
      FROM ({_NOW}) h
      LEFT JOIN LATERAL (
           SELECT * FROM (
                  SELECT *, count(*) OVER () AS found,
                         sum(weight) OVER (ORDER BY {_ORDER}) - weight AS before
                    FROM (SELECT {_ORDER}, group_seq, kind, event, payload,
                                 octet_length(event) + coalesce(octet_length(payload), 0) AS weight
                            FROM task_record_events
                           WHERE tenant = :tenant AND xact >= :xact AND xact < h.readable
                             AND ({_ORDER}) > (:xact, CAST(:run AS text), CAST(:seq AS bigint))
                           ORDER BY {_ORDER} LIMIT :limit) page) sized
            WHERE before < :max_bytes) e ON true
     ORDER BY {_ORDER}
""")  # noqa: S608 - texts of our own


async def read(
    pool: ReadingPool, tenant: str, after: Position, *, limit: int, max_bytes: int
) -> Reading:
    """What can be read after a position: at most `limit` events, and about `max_bytes` or one."""
    found = await pool.fetch(
        _READ,
        {"tenant": tenant, **after._asdict(), "limit": limit, "max_bytes": max_bytes},
    )
    entries = [
        Entry(Position(row.xact, row.task_record_id, row.seq), _event(row), row.robot_id)
        for row in found
        if row.seq is not None
    ]
    there_are = found[0].found or 0
    return Reading(
        _horizon(found[0]),
        entries,
        complete=len(entries) == there_are < limit,
        too_large=len(entries) < there_are,
    )


def _event(row: sa.Row[Any]) -> Event:
    return Event(row.seq, row.group_seq, row.kind, row.event, row.payload)


_OVERTAKEN = Statement(f"""
    SELECT e.task_record_id, e.seq, e.group_seq, e.kind, e.xact, e.event, e.payload
      FROM unnest(CAST(:runs AS text[]), CAST(:seqs AS bigint[])) AS u (of_run, below)
      LEFT JOIN LATERAL (
           SELECT seq FROM task_record_events
            WHERE tenant = :tenant AND task_record_id = u.of_run AND seq < u.below
              AND ({_ORDER}) <= (:xact, CAST(:run AS text), CAST(:seq AS bigint))
            ORDER BY seq DESC LIMIT 1) passed ON true
     CROSS JOIN LATERAL (
           SELECT * FROM task_record_events
            WHERE tenant = :tenant AND task_record_id = u.of_run
              AND seq > coalesce(passed.seq, 0) AND seq < u.below
            ORDER BY seq) e
""")  # noqa: S608 - a text of our own


async def overtaken(
    pool: ReadingPool, tenant: str, after: Position, edges: Sequence[tuple[str, int]]
) -> list[Entry]:
    """Events that stand after a position, although an event (run, seq) of `edges` follows them.

    A transaction may get its number, then wait for a run that a younger one has; so an event can
    stand before its predecessor, which has surely been committed. Looked for from each edge down to
    the first event that stands where it should: who was told that one was told all before it.
    """
    runs, seqs = zip(*edges, strict=True)
    found = await pool.fetch(
        _OVERTAKEN, {"tenant": tenant, **after._asdict(), "runs": runs, "seqs": seqs}
    )
    return [
        Entry(Position(row.xact, row.task_record_id, row.seq), _event(row), None) for row in found
    ]


_BEFORE = Statement("""
    SELECT u.run, own.event
      FROM unnest(CAST(:runs AS text[]), CAST(:seqs AS bigint[])) AS u (run, seq)
     CROSS JOIN LATERAL (
            SELECT event FROM task_record_events e
             WHERE e.tenant = :tenant AND e.task_record_id = u.run AND e.seq < u.seq
               AND e.kind IN (1, 4)
             ORDER BY e.seq DESC LIMIT 1) own
""")


async def states_before(
    pool: ReadingPool, tenant: str, seqs: Mapping[str, int]
) -> dict[str, bytes]:
    """The last event of each run's own before one of its events; none where retention took it."""
    found = await pool.fetch(_BEFORE, {"tenant": tenant, "runs": [*seqs], "seqs": [*seqs.values()]})
    return {row.run: row.event for row in found}
