"""The event log of a whole tenant, read from one snapshot of PostgreSQL to a later one.

Transactions commit out of order, so neither seqs nor times nor their numbers alone tell what is
new. Each event bears its transaction's number, and a snapshot says which transactions had ended:
new is what one sees and the one before does not. A run's events are written under its row's lock,
so of each run that is a stretch of adjacent seqs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from vwed_grpc.storage import codecs
from vwed_grpc.storage.events import Event
from vwed_grpc.storage.incarnation import changed
from vwed_grpc.storage.pool import ReadingPool
from vwed_grpc.storage.statement import Statement
from vwed_grpc.storage.timelines import TIMELINE


class Snapshot(NamedTuple):
    """Which transactions had ended: all below `xmax`, but for those that were `running`."""

    xmax: int
    running: tuple[int, ...] = ()
    """In ascending order."""

    @property
    def xmin(self) -> int:
        """Every transaction below this number had ended."""
        return self.running[0] if self.running else self.xmax

    def sees(self, xact: int) -> bool:
        """Whether the transaction had ended."""
        return xact < self.xmax and xact not in self.running

    def covers(self, other: "Snapshot") -> bool:
        """Whether it sees all that the other does."""
        return self.xmax >= other.xmax and all(
            running >= other.xmax or running in other.running for running in self.running
        )


@dataclass(frozen=True, slots=True)
class Moment:
    """A snapshot, and when it was taken by the database's clock."""

    snapshot: Snapshot
    time: datetime
    lsn: int | None
    """Up to here in the write-ahead log stands all that the snapshot sees, if whoever takes this
    server's place has all of it too (synchronous replication); else None."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Adjacent events of a run."""

    run: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Entry:
    """An event of a run."""

    run: str
    event: Event
    robot_id: str | None
    """With a block's event: the run's robot as it is now, which heartbeats change without an event.
    None with others, and if the run is gone."""
    xact: int = 0
    """The transaction's number; 0 if it was not asked for."""


_NOW = f"""
    SELECT least(s.xmax, 1 + coalesce(greatest(
               (SELECT xact FROM task_record_events WHERE tenant = :tenant
                 ORDER BY xact DESC LIMIT 1),
               (SELECT s.xmax - (s.xmax - p.xmin::text::bigint) % (1::bigint << 32)
                  FROM service_pulse p WHERE p.tenant = '')), 0)) AS xmax,
           s.running, clock_timestamp() AS now,
           CASE WHEN current_setting('synchronous_standby_names') <> ''
                THEN (pg_current_wal_flush_lsn() - '0/0')::bigint END AS lsn,
           {TIMELINE} AS timeline
      FROM (SELECT (pg_snapshot_xmax(x)::text)::bigint AS xmax,
                   ARRAY(SELECT (r::text)::bigint FROM pg_snapshot_xip(x) r ORDER BY 1) AS running
              FROM pg_current_snapshot() x) s
"""  # noqa: S608 - texts of our own
"""It ends with the last transaction that is surely on the disk, of the tenant's events and of the
beats (a row keeps 32 bits of its writer's number). Numbers above that, of those which ended and
left nothing, PostgreSQL gives out again after a crash."""
_MOMENT = Statement(_NOW)


async def now(pool: ReadingPool, tenant: str) -> Moment:
    """Raises Unavailable STORE_CHANGED after a failover that this process has yet to learn of."""
    return _moment(pool, (await pool.fetch(_MOMENT, {"tenant": tenant}))[0])


def _moment(pool: ReadingPool, row: sa.Row[Any]) -> Moment:
    if row.timeline != pool.incarnation.value.timeline:
        raise changed()  # numbers of another timeline are not to be compared with those of this one
    running = tuple(xact for xact in row.running if xact < row.xmax)
    return Moment(Snapshot(row.xmax, running), codecs.moment(row.now), row.lsn)


_NEW = Statement(f"""
    SELECT n.*, c.* FROM ({_NOW}) n
      LEFT JOIN (
           SELECT task_record_id AS run, min(seq) AS first, max(seq) AS last
             FROM (SELECT task_record_id, seq FROM task_record_events
                    WHERE tenant = :tenant AND xact >= :xmax
                    UNION ALL
                   SELECT task_record_id, seq FROM task_record_events
                    WHERE tenant = :tenant AND xact = ANY(CAST(:running AS bigint[]))) e
            GROUP BY task_record_id) c ON true
""")  # noqa: S608 - a text of our own


async def new_since(
    pool: ReadingPool, tenant: str, since: Snapshot
) -> tuple[Moment, list[Stretch]]:
    """Which events are there that `since` did not see. None of them is read.

    Raises as `now` does.
    """
    found = await pool.fetch(_NEW, {"tenant": tenant, **since._asdict()})
    return _moment(pool, found[0]), _stretches(found)


def _stretches(found: Sequence[sa.Row[Any]]) -> list[Stretch]:
    stretches = [Stretch(row.run, row.first, row.last) for row in found if row.run is not None]
    return sorted(stretches, key=lambda one: one.run)


@dataclass(frozen=True, slots=True)
class Way:
    """What one snapshot sees that another did not."""

    upto: Snapshot
    stretches: Sequence[Stretch]
    """By order of runs."""
    gaps: frozenset[str]
    """Runs that have events amid or before theirs which `upto` does not see."""


_BETWEEN = Statement("""
    WITH cut AS MATERIALIZED (
         SELECT xact FROM task_record_events
          WHERE tenant = :tenant AND xact >= :xmax AND xact < :settled
          ORDER BY xact, task_record_id, seq OFFSET :most LIMIT 1)
    SELECT cut.xact, c.* FROM (SELECT 1) one
      LEFT JOIN cut ON true
      LEFT JOIN (
           SELECT task_record_id AS run, min(seq) AS first, max(seq) AS last, count(*) AS events
             FROM (SELECT task_record_id, seq, xact FROM task_record_events
                    WHERE tenant = :tenant AND xact >= :xmax
                      AND xact < coalesce((SELECT xact + 1 FROM cut), :upto)
                    UNION ALL
                   SELECT task_record_id, seq, xact FROM task_record_events
                    WHERE tenant = :tenant AND xact = ANY(CAST(:running AS bigint[]))) e
            WHERE xact <> ALL(CAST(:excluded AS bigint[]))
            GROUP BY task_record_id) c ON true
""")


async def between(
    pool: ReadingPool, tenant: str, since: Snapshot, upto: Snapshot, *, most: int | None = None
) -> Way:
    """Which events are to be read to come from one snapshot to another.

    If they are more than about `most` the way is cut (None: it was, maybe), at the number of a
    transaction below which all had ended by `upto`. That is no snapshot that was ever taken. A
    transaction may get its number, then wait for a run that a younger one has: an event can stand
    before the cut, although its predecessor, surely committed, stands after. It is in the stretch
    all the same.
    """
    found = await pool.fetch(
        _BETWEEN,
        {
            "tenant": tenant,
            **since._asdict(),
            "upto": upto.xmax,
            "settled": 0 if most is None else upto.xmin,
            "most": most or 0,
            "excluded": upto.running,
        },
    )
    stretches = _stretches(found)
    if (cut := found[0].xact) is not None:
        upto = Snapshot(cut + 1)
    begins: dict[str, int] = {}
    if stretches and (cut is not None or most is None):  # which `upto` may have come from a cut
        begins = await _overtaking(pool, tenant, stretches, upto)
    gaps = {row.run for row in found if row.run and row.events <= row.last - row.first}
    return Way(
        upto,
        [replace(one, first=begins.get(one.run, one.first)) for one in stretches],
        frozenset(gaps | begins.keys()),
    )


_OVERTAKING = Statement("""
    SELECT u.run, coalesce(passed.seq, 0) + 1 AS first
      FROM unnest(CAST(:runs AS text[]), CAST(:firsts AS bigint[])) AS u (run, first)
      LEFT JOIN LATERAL (
           SELECT seq FROM task_record_events e
            WHERE e.tenant = :tenant AND e.task_record_id = u.run AND e.seq < u.first
              AND e.xact < :upto
            ORDER BY seq DESC LIMIT 1) passed ON true
     WHERE EXISTS (SELECT FROM task_record_events e
                    WHERE e.tenant = :tenant AND e.task_record_id = u.run AND e.seq = u.first - 1
                      AND e.xact >= :upto)
""")


async def _overtaking(
    pool: ReadingPool, tenant: str, stretches: Sequence[Stretch], upto: Snapshot
) -> dict[str, int]:
    """Where those runs really begin of which the stretch overtook what was written before it."""
    found = await pool.fetch(
        _OVERTAKING,
        {
            "tenant": tenant,
            "upto": upto.xmax,
            "runs": [one.run for one in stretches],
            "firsts": [one.first for one in stretches],
        },
    )
    return {row.run: row.first for row in found}


_READ = Statement("""
    SELECT sized.*,
           CASE kind WHEN 2 THEN (SELECT r.robot_id FROM task_records r
                                   WHERE r.tenant = :tenant AND r.id = sized.run) END AS robot_id
      FROM (SELECT *, count(*) OVER () AS found,
                   sum(weight) OVER (ORDER BY n, seq) - weight AS before
              FROM (SELECT u.n, u.run, e.seq, e.group_seq, e.kind, e.event, e.payload,
                           octet_length(e.event) + coalesce(octet_length(e.payload), 0) AS weight
                      FROM unnest(CAST(:runs AS text[]), CAST(:firsts AS bigint[]),
                                  CAST(:lasts AS bigint[]))
                           WITH ORDINALITY AS u (run, first, last, n)
                      JOIN task_record_events e
                        ON e.tenant = :tenant AND e.task_record_id = u.run
                       AND e.seq BETWEEN u.first AND u.last) page) sized
     WHERE before < :max_bytes
     ORDER BY n, seq
""")


async def read(
    pool: ReadingPool, tenant: str, stretches: Sequence[Stretch], *, max_bytes: int
) -> tuple[list[Entry], bool]:
    """The events of some stretches that are still kept, and whether these are all.

    They are about `max_bytes` or one event, in the order of the stretches.
    """
    found = await pool.fetch(
        _READ,
        {
            "tenant": tenant,
            "runs": [one.run for one in stretches],
            "firsts": [one.first for one in stretches],
            "lasts": [one.last for one in stretches],
            "max_bytes": max_bytes,
        },
    )
    entries = [
        Entry(
            row.run,
            Event(row.seq, row.group_seq, row.kind, row.event, row.payload),
            row.robot_id,
        )
        for row in found
    ]
    return entries, not found or len(found) == found[0].found


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
