"""The event log of a whole tenant, in the order in which a reader can follow it without a miss.

Transactions commit out of order, so seqs and times cannot tell what is new. Each event bears its
transaction's number; below the oldest transaction still running nothing can be added any more, so
reading by (number, run, seq) below that horizon misses nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from vwed.v1.task_record_event_pb2 import TaskRecordEvent
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordFilter

from vwed_grpc.storage import codecs, run_lists
from vwed_grpc.storage.events import Event, Kind
from vwed_grpc.storage.pool import ReadingPool
from vwed_grpc.storage.statement import Statement
from vwed_grpc.storage.tables import task_record_events as events
from vwed_grpc.storage.tables import task_records as runs

WINDOW = 1000
"""Events that one reading takes at the most."""
SLICE = 50_000
"""Events that one reading goes through at the most, to find those that are asked for."""


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


@dataclass(frozen=True, slots=True)
class Entry:
    """An event of a run, where it stands in the tenant's log."""

    position: Position
    event: Event
    matching: bool
    """Whether the run matches now; else the log has to be asked whether it did then."""


_HORIZON = Statement("""
    SELECT (pg_snapshot_xmin(s)::text)::bigint AS readable,
           (pg_snapshot_xmax(s)::text)::bigint AS begun, clock_timestamp() AS now
      FROM pg_current_snapshot() s
""")


async def horizon(pool: ReadingPool) -> Horizon:
    row = (await pool.fetch(_HORIZON))[0]
    return Horizon(row.readable, row.begun, codecs.moment(row.now))


_RUNS_AND_REPORTS = (events.c.kind != Kind.BLOCK) | (events.c.seq == events.c.group_seq)
"""The last event of a report carries the counts, which is all that progress needs."""


def _columns(*, full: bool, matching: sa.ColumnElement[bool]) -> list[sa.ColumnElement[Any]]:
    c = events.c
    payload = c.payload if full else sa.null().label("payload")
    return [
        c.task_record_id,
        c.seq,
        c.group_seq,
        c.kind,
        c.xact,
        c.event,
        payload,
        sa.func.coalesce(matching, sa.false()).label("matching"),
    ]


def _may_have_matched(tenant: str, f: TaskRecordFilter, after: Position) -> sa.ColumnElement[bool]:
    """Of runs that do not match now: those that have changed since, or are gone."""
    lasting = TaskRecordFilter(  # what never changes while a run lives
        ids=f.ids,
        task_def_ids=f.task_def_ids,
        task_def_names=f.task_def_names,
        task_types=f.task_types,
        retry_of=f.retry_of,
        create_time=f.create_time,
    )
    newest = events.alias("newest")
    changed = sa.exists().where(
        newest.c.tenant == runs.c.tenant,
        newest.c.task_record_id == runs.c.id,
        newest.c.seq == runs.c.run_seq,
        newest.c.xact >= after.xact,
    )
    return sa.or_(runs.c.id.is_(None), sa.and_(*run_lists.where(tenant, lasting), changed))


async def slice_end(pool: ReadingPool, tenant: str, after: Position, until: int) -> Position:
    """Where to read up to: the horizon, or as far as a statement can go through in its time."""
    found = await pool.select(
        sa.select(*_ORDER)
        .where(*_beyond(tenant, after), events.c.xact < until)
        .order_by(*_ORDER)
        .offset(SLICE - 1)
        .limit(1)
    )
    return Position(*found[0]) if found else Position(until)


async def read(
    pool: ReadingPool,
    tenant: str,
    f: TaskRecordFilter,
    after: Position,
    upto: Position,
    *,
    blocks: bool,
    full: bool,
) -> list[Entry]:
    """The events after one position and up to another, the first WINDOW of them at the most.

    Of runs that match now, and of those that may have matched when it happened. Without `blocks`
    those of runs, and the last of each block report.
    """
    c = events.c
    matching = sa.and_(*run_lists.where(tenant, f))
    run = sa.and_(runs.c.tenant == c.tenant, runs.c.id == c.task_record_id)
    statement = (
        sa.select(*_columns(full=full, matching=matching))
        .select_from(events.outerjoin(runs, run))
        .where(
            *_beyond(tenant, after),
            c.xact <= upto.xact,
            _literal(upto) >= _PLACE,
            sa.or_(matching, _may_have_matched(tenant, f, after)),
        )
        .order_by(*_ORDER)
        .limit(WINDOW)
    )
    if not blocks:
        statement = statement.where(_RUNS_AND_REPORTS)
    return _entries(await pool.select(statement))


async def overtaken(
    pool: ReadingPool,
    tenant: str,
    after: Position,
    upto: dict[str, int],
    *,
    blocks: bool,
    full: bool,
) -> list[Entry]:
    """Earlier events of these runs (below the seq of each) that stand later in the log.

    A transaction may get its number, then wait for a run that a younger one has; so an event can
    stand before its predecessor, which has surely been committed.
    """
    c = events.c
    below = (
        sa.func.unnest(
            sa.cast(list(upto), pg.ARRAY(sa.Text)),
            sa.cast(list(upto.values()), pg.ARRAY(sa.BigInteger)),
        )
        .table_valued(sa.column("run", sa.Text), sa.column("upto", sa.BigInteger), name="below")
        .render_derived()
    )
    # Whether they match is known from the later ones.
    statement = sa.select(*_columns(full=full, matching=sa.false())).where(
        *_beyond(tenant, after),
        c.task_record_id == below.c.run,
        c.seq < below.c.upto,
        *([] if blocks else [_RUNS_AND_REPORTS]),
    )
    return _entries(await pool.select(statement))


_ORDER = events.c.xact, events.c.task_record_id, events.c.seq
_PLACE = sa.tuple_(*_ORDER)


def _literal(position: Position) -> sa.Tuple:
    return sa.tuple_(*(sa.literal(part) for part in position))


def _beyond(tenant: str, after: Position) -> list[sa.ColumnElement[bool]]:
    c = events.c
    return [c.tenant == tenant, c.xact >= after.xact, _literal(after) < _PLACE]


def _entries(found: Iterable[sa.Row[Any]]) -> list[Entry]:
    return [
        Entry(
            Position(row.xact, row.task_record_id, row.seq),
            Event(row.seq, row.group_seq, row.kind, row.event, row.payload),
            row.matching,
        )
        for row in found
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
) -> dict[str, TaskRecord]:
    """What each run was like before an event of its; none where the log does not say."""
    found = await pool.fetch(_BEFORE, {"tenant": tenant, "runs": [*seqs], "seqs": [*seqs.values()]})
    return {row.run: TaskRecordEvent.FromString(row.event).task_record for row in found}


_NEWEST = Statement("""
    SELECT e.event FROM task_records r
      JOIN task_record_events e
        ON e.tenant = r.tenant AND e.task_record_id = r.id AND e.seq = r.run_seq
     WHERE r.tenant = :tenant AND r.id = :run AND r.run_seq <= :seq
""")


async def newest_state(
    pool: ReadingPool, tenant: str, run: str, seq: int
) -> TaskRecordEvent | None:
    """The run's newest event of its own; None if it came after `seq`, or is no longer there."""
    found = await pool.fetch(_NEWEST, {"tenant": tenant, "run": run, "seq": seq})
    return TaskRecordEvent.FromString(found[0].event) if found else None
