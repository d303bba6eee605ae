"""Which timelines of PostgreSQL this copy of the data has been through: a row each.

A server that meets a timeline without a row adds it, and all wait with their writes until no other
can still believe in the one before. A restore empties the table and so makes another copy.
"""

from datetime import timedelta
from typing import Any

import asyncpg

from vwed_grpc.storage.incarnation import HOLD_SECONDS, Beginning, Incarnation
from vwed_grpc.storage.statement import Statement, command

TIMELINE = "('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int"
"""The control file learns of a new one only with a checkpoint."""
RELATION = "'task_records'::regclass::oid::bigint"
"""Another one where tables were made anew, as by a restore."""
PLACE = """
    (SELECT to_hex(system_identifier) FROM pg_control_system()) || '-' ||
    (SELECT to_hex(oid::bigint) FROM pg_database WHERE datname = current_database())
"""
"""The server's data directory and the database in it. One made with another as its TEMPLATE has
that one's table numbers and rows."""

ADD = f"""
    INSERT INTO timelines AS t (tenant, timeline, copy, first_xact, begun_at, writable_from)
    SELECT '', now.timeline, coalesce(last.copy, right(gen_random_uuid()::text, 12)),
           -- Not its own number: lower ones may be running, of others, which write nothing here.
           (pg_snapshot_xmin(pg_current_snapshot())::text)::bigint,
           -- What a standby had replayed when it was promoted; forgotten when it is restarted.
           CASE WHEN last.timeline = now.timeline - 1 AND pg_last_wal_receive_lsn() IS NOT NULL
                THEN (pg_last_wal_replay_lsn() - '0/0')::bigint END,
           clock_timestamp()
      FROM (SELECT {TIMELINE} AS timeline) now
      LEFT JOIN (SELECT timeline, copy FROM timelines WHERE tenant = ''
                  ORDER BY timeline DESC LIMIT 1) last ON true
        ON CONFLICT (tenant, timeline) DO NOTHING
"""  # noqa: S608 - texts of our own
_ADD = Statement(ADD.replace("clock_timestamp()", "clock_timestamp() + :hold"))
_READ = Statement(f"""
    SELECT {PLACE} AS place, {RELATION} AS relation, {TIMELINE} AS timeline,
           (SELECT key FROM seal_keys WHERE tenant = '') AS seal_key
""")  # noqa: S608 - texts of our own
_BEGINNINGS = Statement("""
    SELECT timeline, copy, first_xact, begun_at FROM timelines
     WHERE tenant = '' AND timeline <= :timeline ORDER BY timeline DESC
""")


async def learn(driver: asyncpg.Connection) -> Incarnation:
    """What the database is, outside of any transaction; a timeline that is new gets its row."""
    where: Any = (await _READ.run(driver, {}))[0]
    found = await _BEGINNINGS.run(driver, {"timeline": where.timeline})
    if not found or found[0].timeline != where.timeline:
        await command(driver, "BEGIN")
        await _ADD.run(driver, {"hold": timedelta(seconds=HOLD_SECONDS)})
        await command(driver, "COMMIT")
        found = await _BEGINNINGS.run(driver, {"timeline": where.timeline})
    id_ = found[0].copy
    return Incarnation(
        where.place,
        where.relation,
        id_,
        where.timeline,
        {row.timeline: Beginning(row.first_xact, row.begun_at) for row in found if row.copy == id_},
        where.seal_key,
    )
