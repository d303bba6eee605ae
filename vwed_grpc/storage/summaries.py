"""Figures over runs, and over their blocks, that ended in a range of time."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from vwed.v1.record_service_pb2 import SummarizeTaskRecordsRequest

from vwed_grpc.domain.blocks import FAILED as BLOCK_FAILED
from vwed_grpc.domain.errors import ResourceExhausted
from vwed_grpc.domain.lifecycle import FAILED, SUCCEEDED
from vwed_grpc.storage import models, periods
from vwed_grpc.storage.pool import Pool
from vwed_grpc.storage.statement import Statement
from vwed_grpc.storage.transaction import Transaction

runs = models.TaskRecord.__table__
blocks = models.BlockRecord.__table__
By = SummarizeTaskRecordsRequest.GroupBy

MAX_GROUPS = 10_000
"""Of an answer; as many rows and one are read, whatever there is."""
_PERIODS = {By.GROUP_BY_HOUR: "hour", By.GROUP_BY_DAY: "day"}
_COLUMNS = {
    By.GROUP_BY_STATUS: runs.c.status.label("status"),
    By.GROUP_BY_TASK_DEF: runs.c.task_def_id.label("task_def_id"),
    By.GROUP_BY_ROBOT: runs.c.robot_id.label("robot_id"),
}


def _seconds(start: sa.Column[Any], end: sa.Column[Any]) -> sa.ColumnElement[float]:
    """NULL where a time is missing, or infinite; never below 0, whatever reports said."""
    finite = sa.func.isfinite(start) & sa.func.isfinite(end)
    seconds = sa.cast(sa.extract("epoch", end - start), sa.Double)
    return sa.case((finite, sa.func.greatest(seconds, 0.0)))


def _figures(name: str, seconds: sa.ColumnElement[float]) -> list[sa.ColumnElement[Any]]:
    """Median, 95th percentile and maximum, in seconds; NULL where nothing was measured."""
    shares = sa.literal([0.5, 0.95], ARRAY(sa.Double))
    return [
        sa.func.percentile_cont(shares).within_group(seconds).label(name),
        sa.func.max(seconds).label(f"{name}_max"),
    ]


_TIME_ZONE = sa.text("SELECT EXISTS (SELECT FROM pg_timezone_names WHERE name = :name)")


async def is_time_zone(pool: Pool, name: str) -> bool:
    """Whether it is the name of one: where it takes one, PostgreSQL makes sense of `FOO+3`, too."""
    return bool((await pool.select(_TIME_ZONE, {"name": name}))[0][0])


async def of_runs(
    pool: Pool,
    where: Sequence[sa.ColumnElement[bool]],
    group_by: Sequence[By.ValueType],
    *,
    since: datetime,
    until: datetime,
    time_zone: str,
) -> Sequence[sa.Row[Any]]:
    """A row a group: its keys, total, succeeded, failed, queue and duration figures.

    `where` leaves runs that ended from `since` on and before `until`. Raises ResourceExhausted
    TOO_MANY_GROUPS.
    """
    if By.GROUP_BY_HOUR in group_by:  # which lies within one day
        group_by = [by for by in group_by if by != By.GROUP_BY_DAY]
    source: sa.FromClause = runs
    keys: list[sa.ColumnElement[Any]] = []
    for by in group_by:
        if by in _PERIODS:
            starts = periods.starts(_PERIODS[by], since, until, time_zone)
            source = runs.join(starts, sa.true())
            keys.append(periods.start_of(starts, runs.c.end_time).label("period_start"))
        else:
            keys.append(_COLUMNS[by])
    names = [key.name for key in keys]
    statement = (
        sa.select(
            *keys,
            sa.func.count().label("total"),
            sa.func.count().filter(runs.c.status == SUCCEEDED).label("succeeded"),
            sa.func.count().filter(runs.c.status == FAILED).label("failed"),
            *_figures("queue", _seconds(runs.c.create_time, runs.c.start_time)),
            *_figures("duration", _seconds(runs.c.start_time, runs.c.end_time)),
        )
        .select_from(source)
        .where(*where)
        .group_by(*(sa.literal_column(name) for name in names))
        .order_by(*(sa.literal_column(name) for name in names))
    )
    return await _groups(pool, statement)


async def of_blocks(pool: Pool, where: Sequence[sa.ColumnElement[bool]]) -> Sequence[sa.Row[Any]]:
    """A row a block_type: total, failed, duration figures. Raises ResourceExhausted, as above."""
    c = blocks.c
    ended = sa.and_(c.tenant == runs.c.tenant, c.task_record_id == runs.c.id)
    statement = (
        sa.select(
            c.block_type,
            sa.func.count().label("total"),
            sa.func.count().filter(c.status == BLOCK_FAILED).label("failed"),
            *_figures("duration", _seconds(c.start_time, c.end_time)),
        )
        .select_from(runs.join(blocks, ended))
        .where(*where)
        .group_by(c.block_type)
        .order_by(c.block_type)
    )
    return await _groups(pool, statement)


async def _groups(pool: Pool, statement: sa.Select[Any]) -> Sequence[sa.Row[Any]]:
    at_most = Statement(statement.limit(MAX_GROUPS + 1))

    async def read(tx: Transaction) -> Sequence[sa.Row[Any]]:
        return await tx.fetch(at_most, {})

    # By the driver alone, which takes rows as they come in: SQLAlchemy makes all of them in one go.
    groups = await pool.run(read, commit=False)
    if len(groups) > MAX_GROUPS:
        raise ResourceExhausted(
            "TOO_MANY_GROUPS",
            f"there are more than {MAX_GROUPS:,} groups: ask for fewer runs, or other groups",
        )
    return groups
