"""The data cache's entries. An expired one is absent everywhere, swept or not.

To delete an entry is to let it expire at once: its row stays for a while, without the value, so
that who writes the key next does so under the row's lock and takes a version above all before.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy import CursorResult
from vwed.v1.data_cache_pb2 import DataCache

from vwed_grpc.domain.entries import NOTHING
from vwed_grpc.domain.errors import FailedPrecondition, NotFound
from vwed_grpc.domain.field_mask import apply_mask
from vwed_grpc.domain.ids import new_id
from vwed_grpc.storage import rows
from vwed_grpc.storage.database import Database, Transaction
from vwed_grpc.storage.listing import Listing
from vwed_grpc.storage.tables import data_cache as table

c = table.c
BASIC = [column for column in c if column is not c.value]
CLEARED_AT_ONCE = 5_000

_NOW = sa.func.clock_timestamp()
_ALIVE = c.expire_time.is_(None) | (c.expire_time > _NOW)


def missing(key: str) -> NotFound:
    return NotFound("DATA_CACHE_NOT_FOUND", f"no entry {key!r}", metadata={"key": key})


_KEY = (
    c.tenant == sa.bindparam("tenant"),
    c.task_record_id == sa.bindparam("run"),
    c.key == sa.bindparam("key"),
)
_GET = sa.select(table, _NOW.label("read_time")).where(*_KEY, _ALIVE)


async def get(
    database: Database, tenant: str, run: str, key: str
) -> tuple[DataCache, float | None] | None:
    """The entry and how many seconds it has left (None: it never expires)."""
    found = await database.fetch(_GET, {"tenant": tenant, "run": run, "key": key})
    if not found:
        return None
    row = found[0]
    left = None if row.expire_time is None else (row.expire_time - row.read_time).total_seconds()
    return rows.data_cache(row), left


# The clock is read outside, where the lock is had: who waited for it may have waited too long.
_ROW = sa.select(table).where(*_KEY).with_for_update().subquery()
_LOCK = sa.select(_ROW, _NOW.label("locked_time"))


async def lock(tx: Transaction, tenant: str, run: str, key: str) -> DataCache | None:
    """The entry unless absent or expired, locked until the transaction ends."""
    found = await tx.session.execute(_LOCK, {"tenant": tenant, "run": run, "key": key})
    row = found.one_or_none()
    if row is None:
        return None
    tx.now = max(tx.now, row.locked_time)
    if row.expire_time is not None and row.expire_time <= tx.now:
        return None
    return rows.data_cache(row)


# One pass over the rows, in an order that all writers keep to, so they do not deadlock.
_PUT = """
    WITH given AS (
        SELECT * FROM unnest(CAST(:runs AS text[]), CAST(:keys AS text[]), CAST(:ids AS text[]),
                             CAST(:types AS smallint[]), CAST(:values AS bytea[]),
                             CAST(:expire_times AS timestamptz[]), CAST(:replaceables AS bigint[]))
            AS g (run, key, id, type, value, expire_time, replaceable)
    ), kept AS (
        SELECT id FROM task_records WHERE tenant = :tenant AND id = ANY(CAST(:runs AS text[]))
         ORDER BY id FOR KEY SHARE
    )
    INSERT INTO data_cache AS d (tenant, task_record_id, key, id, type, value, expire_time, version,
                                 create_time, update_time)
    SELECT :tenant, run, key, given.id, type, value, expire_time, nextval('data_cache_versions'),
           now, now
      FROM given JOIN kept ON kept.id = run, (SELECT clock_timestamp()) AS clock (now)
     ORDER BY run COLLATE "C", key COLLATE "C"
        ON CONFLICT (tenant, task_record_id, key) DO UPDATE
       SET type = excluded.type, value = excluded.value, expire_time = excluded.expire_time,
           -- Taken again, under the row's lock: it must be above what is there.
           version = nextval('data_cache_versions'),
           update_time = greatest(d.update_time, excluded.update_time),
           -- What replaces an expired entry is a new one.
           id = CASE WHEN d.expire_time <= clock_timestamp() THEN excluded.id ELSE d.id END,
           create_time = CASE WHEN d.expire_time <= clock_timestamp() THEN excluded.create_time
                              ELSE d.create_time END
     {where}
    RETURNING task_record_id, key, id, version, create_time, update_time
"""
_IF_REPLACEABLE = """
     WHERE (SELECT replaceable IS NULL OR replaceable =
                   CASE WHEN d.expire_time <= clock_timestamp() THEN 0 ELSE d.version END
              FROM given WHERE run = d.task_record_id AND key = d.key)
"""
_PUT_ALL = sa.text(_PUT.format(where=""))
_PUT_REPLACEABLE = sa.text(_PUT.format(where=_IF_REPLACEABLE))


async def put(
    tx: Transaction,
    tenant: str,
    entries: Sequence[DataCache],
    replaceable: Sequence[int | None] = (),
) -> list[DataCache | None]:
    """Writes entries, a (run, key) once; answers them as they are stored.

    None stands for what was not written: its run is missing, or there is another version than the
    one that is `replaceable` (`NOTHING`: any, None: none). Then roll back, unless that was
    `NOTHING`: what should have been there and was not has been created.
    """
    for entry in entries:
        entry.id = new_id()
    written = await tx.session.execute(
        _PUT_REPLACEABLE if any(v is not None for v in replaceable) else _PUT_ALL,
        {
            "tenant": tenant,
            "runs": [e.task_record_id for e in entries],
            "keys": [e.key for e in entries],
            "ids": [e.id for e in entries],
            "types": [e.type for e in entries],
            "values": [_value(e) for e in entries],
            "expire_times": [_expire_time(e) for e in entries],
            "replaceables": list(replaceable) or [None] * len(entries),
        },
    )
    stored = {(row.task_record_id, row.key): row for row in written}
    ...
