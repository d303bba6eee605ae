"""The data cache's entries. An expired one is absent everywhere, swept or not.

To delete an entry is to let it expire at once: its row stays for a while, without the value, so
that who writes the key next does so under the row's lock and takes a version above all before.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from vwed.v1.data_cache_pb2 import DataCache

from vwed_grpc.domain.errors import FailedPrecondition, NotFound
from vwed_grpc.storage import models, rows
from vwed_grpc.storage.by_key import ByKey
from vwed_grpc.storage.listing import Listing
from vwed_grpc.storage.pool import ReadingPool
from vwed_grpc.storage.statement import Statement
from vwed_grpc.storage.sweep import Sweep
from vwed_grpc.storage.transaction import Transaction

table = models.DataCache.__table__
c = table.c
BASIC = [column for column in c if column is not c.value]
CLEARED_AT_ONCE = 5_000

_NOW = sa.func.clock_timestamp()
_ALIVE = c.expire_time.is_(None) | (c.expire_time > _NOW)


def missing(key: str) -> NotFound:
    """What is raised where the run has no such entry, or one that has expired."""
    return NotFound("DATA_CACHE_NOT_FOUND", f"no entry {key!r}", metadata={"key": key})


GET = ByKey(
    lambda given: sa.select(table, _NOW.label("read_time")).where(
        c.tenant == sa.bindparam("tenant"),
        c.task_record_id == given.c.task_record_id,
        c.key == given.c.key,
        _ALIVE,
    ),
    c.task_record_id,
    c.key,
)


async def get(
    pool: ReadingPool, tenant: str, run: str, key: str
) -> tuple[DataCache, float | None] | None:
    """The entry and how many seconds it has left (None: it never expires)."""
    row = await pool.row(GET, tenant, run, key)
    if row is None:
        return None
    left = None if row.expire_time is None else (row.expire_time - row.read_time) / 1e6
    return rows.data_cache(row), left


# First the run, as all who write entries do: what deletes it must not wait for who waits for it.
# The clock is read outside, where the locks are had: who waited for them may have waited too long.
_LOCK = Statement("""
    SELECT e.*, clock_timestamp() AS locked_time
      FROM (SELECT id FROM task_records WHERE tenant = :tenant AND id = :run FOR KEY SHARE) r
     CROSS JOIN LATERAL (
           SELECT * FROM data_cache
            WHERE tenant = :tenant AND task_record_id = r.id AND key = :key FOR UPDATE) e
""")


async def lock(tx: Transaction, tenant: str, run: str, key: str) -> DataCache | None:
    """The entry unless absent or expired, locked until the transaction ends; its run is kept."""
    found = await tx.fetch(_LOCK, {"tenant": tenant, "run": run, "key": key})
    if not found:
        return None
    row = found[0]
    tx.now = max(tx.now, row.locked_time)
    if row.expire_time is not None and row.expire_time <= tx.now:
        return None
    return rows.data_cache(row)


def mismatch(present: DataCache) -> FailedPrecondition:
    """The entry has another version than was asked for."""
    return FailedPrecondition(
        "VERSION_MISMATCH",
        f"the entry {present.key!r} has version {present.version}",
        metadata={"key": present.key, "version": str(present.version)},
    )


_TOUCH = Statement("""
    UPDATE data_cache
       SET expire_time = coalesce(greatest(update_time, :now) + CAST(:ttl AS interval),
                                  :expire_time),
           version = nextval('data_cache_versions'), update_time = greatest(update_time, :now)
     WHERE tenant = :tenant AND task_record_id = :run AND key = :key
    RETURNING version, update_time, expire_time
""")


async def touch(
    tx: Transaction,
    tenant: str,
    entry: DataCache,
    *,
    expire_time: datetime | None,
    ttl: timedelta | None,
) -> None:
    """Gives a locked entry another expiration: a time, or so long after its new update_time."""
    parameters = {
        "tenant": tenant,
        "run": entry.task_record_id,
        "key": entry.key,
        "now": tx.now,
        "expire_time": expire_time,
        "ttl": ttl,
    }
    row = (await tx.fetch(_TOUCH, parameters))[0]
    entry.version = row.version
    rows.put_time(entry.update_time, row.update_time)
    entry.ClearField("expire_time")
    rows.put_time(entry.expire_time, row.expire_time)


_END = Statement("""
    UPDATE data_cache
       SET value = '', expire_time = 'epoch', update_time = clock_timestamp()
     WHERE tenant = :tenant AND task_record_id = :run AND key = ANY(CAST(:keys AS text[]))
""")


async def delete(tx: Transaction, tenant: str, run: str, keys: Sequence[str]) -> None:
    """Ends locked entries."""
    await tx.fetch(_END, {"tenant": tenant, "run": run, "keys": list(keys)})


async def clear(tx: Transaction, tenant: str, run: str, prefix: str) -> list[str]:
    """Ends the entries whose key begins with the prefix, in the order of keys; answers those."""
    cleared: list[str] = []
    while True:
        after = [c.key > cleared[-1]] if cleared else []
        found = await tx.session.scalars(
            sa.select(c.key)
            .where(*where(tenant, run, prefix), *after)
            .order_by(c.key)
            .limit(CLEARED_AT_ONCE)
            .with_for_update()
        )
        keys = found.all()
        await delete(tx, tenant, run, keys)
        cleared += keys
        if len(keys) < CLEARED_AT_ONCE:
            return cleared


_COPY = Statement("""
    WITH page AS MATERIALIZED (
        SELECT * FROM (
            SELECT *, sum(octet_length(value)) OVER (ORDER BY key) - octet_length(value) AS before
              FROM (SELECT * FROM data_cache
                     WHERE tenant = :tenant AND task_record_id = :old AND key > :after
                     ORDER BY key LIMIT :limit) next) sized
         WHERE before < :max_bytes
    ), copied AS (
        INSERT INTO data_cache (tenant, task_record_id, key, id, type, value, expire_time, version,
                                create_time, update_time)
        SELECT tenant, :new, key, gen_random_uuid()::text, type, value, expire_time,
               nextval('data_cache_versions'), :now, :now
          FROM page WHERE expire_time IS NULL OR expire_time > :now
    )
    SELECT max(key) AS last FROM page
""")


async def copy(tx: Transaction, tenant: str, old: str, new: str) -> None:
    """Copies what has not expired of one run's entries into a new run, expirations included.

    In pages, between which an exclusive lock on the old run keeps its entries as they are.
    """
    last: str | None = ""
    while last is not None:
        page = {"old": old, "new": new, "after": last, "limit": 1_000, "max_bytes": 8 << 20}
        last = (await tx.fetch(_COPY, {"tenant": tenant, "now": tx.now, **page}))[0].last


KEPT = timedelta(minutes=1)
"""How long the row of an entry that has ended stays: a statement that had taken its version before
another wrote and deleted the entry is over by then."""

_SWEEP = Sweep("data_cache", "expire_time <= :before AND update_time <= :before")


async def sweep(tx: Transaction, tenant: str, limit: int) -> int:
    """Removes the rows of entries that ended long enough ago; answers how many."""
    return await _SWEEP.batch(tx, tenant, limit, before=tx.now - KEPT)


def where(tenant: str, run: str, prefix: str = "") -> list[sa.ColumnElement[bool]]:
    """A run's entries whose key begins with the prefix."""
    conditions = [c.tenant == tenant, c.task_record_id == run, _ALIVE]
    if prefix:
        conditions.append(c.key.startswith(prefix, autoescape=True))
    return conditions


LISTING: Listing[DataCache] = Listing(
    source=table,
    columns=BASIC,
    payload=[c.value],
    identity=c.key,
    orders={"key": c.key},
    reader=rows.data_caches,
)
