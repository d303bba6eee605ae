"""The event log of a whole tenant, in the order in which a reader can follow it without a miss.

Transactions commit out of order, so seqs and times cannot tell what is new. Each event bears its
transaction's number; below the oldest transaction still running nothing can be added any more, so
reading by (number, run, seq) below that horizon misses nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from vwed.v1.task_record_event_pb2 import TaskRecordEvent
from vwed.v1.task_record_pb2 import TaskRecordFilter

from vwed_grpc.storage import run_lists
from vwed_grpc.storage.database import Database
from vwed_grpc.storage.events import Event, Kind
from vwed_grpc.storage.tables import task_record_events as events
from vwed_grpc.storage.tables import task_records as runs

WINDOW = 1000
"""Events that one reading takes at the most."""


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


_HORIZON = sa.text("""
    SELECT (pg_snapshot_xmin(s)::text)::bigint AS readable,
           (pg_snapshot_xmax(s)::text)::bigint AS begun, clock_timestamp() AS now
      FROM pg_current_snapshot() s
""")


async def horizon(database: Database) -> Horizon:
    row = (await database.fetch(_HORIZON))[0]
    return Horizon(row.readable, row.begun, row.now)


_RUNS_AND_REPORTS = (events.c.kind != Kind.BLOCK) | (events.c.seq == events.c.group_seq)
"""The last event of a report carries the counts, which is all that progress needs."""
_MATCHES = runs.c.tenant == events.c.tenant, runs.c.id == events.c.task_record_id


def _columns(*, full: bool) -> list[sa.ColumnElement[Any]]:
    c = events.c
    payload = c.payload if full else sa.null().label("payload")
    return [c.task_record_id, c.seq, c.group_seq, c.kind, c.xact, c.event, payload]


def _relevant(tenant: str, f: TaskRecordFilter) -> sa.ColumnElement[bool]:
    """Of runs that match now; of a deleted run, which cannot be asked, its end."""
    matching = sa.exists().where(*_MATCHES, *run_lists.where(tenant, f))
    return sa.or_(matching, events.c.kind == Kind.DELETED)


async def read(
    database: Database,
    tenant: str,
    f: TaskRecordFilter,
    after: Position,
    until: int,
    *,
    blocks: bool,
    full: bool,
) -> list[Entry]:
    """The next events after a position and below a horizon, WINDOW of them at the most.

    Without `blocks` those of runs, and the last of each block report.
    """
    c = events.c
    statement = (
        sa.select(*_columns(full=full))
        .where(*_beyond(tenant, after), c.xact < until, _relevant(tenant, f))
        .order_by(c.xact, c.task_record_id, c.seq)
        .limit(WINDOW)
    )
    if not blocks:
        statement = statement.where(_RUNS_AND_REPORTS)
    return _entries(await database.fetch(statement))


async def overtaken(
    database: Database,
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
    statement = sa.select(*_columns(full=full)).where(
        *_beyond(tenant, after),
        c.task_record_id == below.c.run,
        c.seq < below.c.upto,
        *([] if blocks else [_RUNS_AND_REPORTS]),
    )
    return _entries(await database.fetch(statement))


def _beyond(tenant: str, after: Position) -> list[sa.ColumnElement[bool]]:
    c = events.c
    place = sa.tuple_(c.xact, c.task_record_id, c.seq)
    return [
        c.tenant == tenant,
        c.xact >= after.xact,
        place > sa.tuple_(*(sa.literal(part) for part in after)),
    ]


def _entries(found: Iterable[sa.Row[Any]]) -> list[Entry]:
    return [
        Entry(
            Position(row.xact, row.task_record_id, row.seq),
            Event(row.seq, row.group_seq, row.kind, row.event, row.payload),
        )
        for row in found
    ]


_STATE = sa.text("""
    SELECT event FROM task_record_events
     WHERE tenant = :tenant AND task_record_id = :run AND seq <= :seq AND kind IN (1, 4)
     ORDER BY seq DESC LIMIT 1
""")


async def state_at(database: Database, tenant: str, run: str, seq: int) -> TaskRecordEvent | None:
    """The last event of the run itself up to `seq`; None if retention has taken it."""
    found = await database.fetch(_STATE, {"tenant": tenant, "run": run, "seq": seq})
    return TaskRecordEvent.FromString(found[0].event) if found else None
