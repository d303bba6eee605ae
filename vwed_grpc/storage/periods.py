"""Where the hours and days of a time zone begin, on the nights too on which its clocks are set.

`date_trunc` answers a time of the clock, which a night may have twice, or not at all, and takes the
later of two. Here every period begins at an instant, and ends where the next one begins.
"""

from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from vwed_grpc.storage import models

# An offset lasts for a span. Its ends are found to the second, by looking from hour to hour first.
# The first span begins earlier than any period that has a part in the range.
_STARTS = """
    WITH ticks AS (
        SELECT t, (t AT TIME ZONE :zone) - (t AT TIME ZONE 'UTC') AS ahead
          FROM generate_series(CAST(:since AS timestamptz) - interval '72 hours',
                               CAST(:until AS timestamptz) + interval '1 hour',
                               interval '1 hour') AS t
    ), changes AS (
        SELECT t, ahead, before
          FROM (SELECT t, ahead, lag(ahead) OVER (ORDER BY t) AS before FROM ticks) AS pairs
         WHERE ahead <> before
    ), spans AS (
        SELECT begins, ahead, lead(begins, 1, CAST(:until AS timestamptz)) OVER (ORDER BY begins)
               AS ends
          FROM ((SELECT t AS begins, ahead FROM ticks ORDER BY t LIMIT 1)
                UNION ALL
                SELECT min(second), ahead
                  FROM changes,
                       generate_series(t - interval '1 hour', t, interval '1 second') AS second
                 WHERE (second AT TIME ZONE :zone) - (second AT TIME ZONE 'UTC') = ahead
                 GROUP BY t, ahead) AS found
    ), clocks AS (
        SELECT ahead, begins AT TIME ZONE 'UTC' + ahead AS first,
               ends AT TIME ZONE 'UTC' + ahead AS last
          FROM spans
    ), begun AS (
        SELECT first AS clock, ahead FROM clocks
         UNION
        SELECT clock, ahead
          FROM clocks, generate_series(date_trunc(:unit, first), last,
                                       CAST('1 ' || :unit AS interval)) AS clock
         WHERE clock >= first AND clock < last
    ), starts AS (
        -- A day begins once. An hour begins as often as the clock comes to it, or is set into it.
        SELECT min((clock - ahead) AT TIME ZONE 'UTC') AS start
          FROM begun
         GROUP BY date_trunc('day', clock), CASE WHEN :unit = 'hour' THEN clock - ahead END
    )
    SELECT array_agg(start ORDER BY start) AS starts FROM starts
"""


_FIRST = datetime.min.replace(tzinfo=UTC) + datetime.resolution
_LAST = datetime.max.replace(tzinfo=UTC) - datetime.resolution
"""The driver takes what lies beyond them for infinity."""


def starts(unit: str, since: datetime, until: datetime, zone: str) -> sa.CTE:
    """One row, whose `starts` is an array of where the periods between two instants begin.

    `unit` is "hour" or "day", `zone` the name of a time zone. A day begins at its first instant,
    though its midnight come twice or never. An hour that a change of the clock cuts is two.
    """
    return (
        sa.text(_STARTS)
        .bindparams(
            sa.bindparam("unit", unit, sa.Text),
            sa.bindparam("since", max(since, _FIRST), models.Time),
            sa.bindparam("until", min(until, _LAST), models.Time),
            sa.bindparam("zone", zone, sa.Text),
        )
        .columns(sa.column("starts", ARRAY(models.Time)))
        .cte("periods")
    )


def start_of(periods: sa.CTE, at: sa.ColumnElement[datetime]) -> sa.ColumnElement[datetime]:
    """Where the period that has this instant begins."""
    begun: sa.ColumnElement[datetime] = periods.c.starts[sa.func.width_bucket(at, periods.c.starts)]
    return begun
