"""The data cache's entries. An expired one is absent everywhere, swept or not."""

from datetime import datetime
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy import CursorResult
from sqlalchemy.dialects.postgresql import insert
from vwed.v1.data_cache_pb2 import DataCache

from vwed_grpc.domain.errors import NotFound
from vwed_grpc.domain.field_mask import apply_mask
from vwed_grpc.domain.ids import new_id
from vwed_grpc.storage import rows
from vwed_grpc.storage.database import Database, Transaction
from vwed_grpc.storage.listing import Listing
from vwed_grpc.storage.tables import data_cache as table
from vwed_grpc.storage.tables import data_cache_versions

c = table.c
BASIC = [column for column in c if column is not c.value]


def missing(key: str) -> NotFound:
    return NotFound("DATA_CACHE_NOT_FOUND", f"no entry {key!r}", metadata={"key": key})


def alive(now: sa.ColumnElement[Any] | datetime | None = None) -> sa.ColumnElement[bool]:
    """The condition that an entry has not expired, by the database's clock."""
    return c.expire_time.is_(None) | (
        c.expire_time > (sa.func.clock_timestamp() if now is None else now)
    )


_GET = sa.select(table, sa.func.clock_timestamp().label("read_time")).where(
    c.tenant == sa.bindparam("tenant"),
    c.task_record_id == sa.bindparam("run"),
    c.key == sa.bindparam("key"),
    alive(),
)


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


async def lock(tx: Transaction, tenant: str, run: str, key: str) -> DataCache | None:
    """The entry unless absent or expired, locked until the transaction ends."""
    row = (
        await tx.session.execute(
            sa.select(table)
            .where(c.tenant == tenant, c.task_record_id == run, c.key == key, alive(tx.now))
            .with_for_update()
        )
    ).one_or_none()
    return rows.data_cache(row) if row else None


async def put(
    tx: Transaction, tenant: str, run: str, entry: DataCache, *, if_absent: bool = False
) -> DataCache | None:
    """Writes an entry whatever is there; with `if_absent` only over nothing, else answers None."""
    value = DataCache()
    apply_mask(value, entry, [entry.WhichOneof("value") or ""])
    new = insert(table).values(
        tenant=tenant,
        task_record_id=run,
        key=entry.key,
        id=new_id(),
        type=entry.type,
        value=value.SerializeToString(deterministic=True),
        expire_time=rows.moment(entry.expire_time) if entry.HasField("expire_time") else None,
        version=data_cache_versions.next_value(),
        create_time=tx.now,
        update_time=tx.now,
    )
    dead = ~alive(tx.now)
    x = new.excluded
    written = await tx.session.execute(
        new.on_conflict_do_update(
            index_elements=list(table.primary_key),
            set_={
                "type": x.type,
                "value": x.value,
                "expire_time": x.expire_time,
                # Taken again under the row's lock: it must be above what is there.
                "version": data_cache_versions.next_value(),
                "update_time": x.update_time,
                # What replaces an expired entry is a new one.
                "id": sa.case((dead, x.id), else_=c.id),
                "create_time": sa.case((dead, x.create_time), else_=c.create_time),
            },
            where=dead if if_absent else None,
        ).returning(table)
    )
    row = written.one_or_none()
    return rows.data_cache(row) if row else None


_COPY = sa.text("""
    INSERT INTO data_cache (tenant, task_record_id, key, id, type, value, expire_time, version,
                            create_time, update_time)
    SELECT tenant, :new, key, gen_random_uuid()::text, type, value, expire_time,
           nextval('data_cache_versions'), :now, :now
      FROM data_cache
     WHERE tenant = :tenant AND task_record_id = :old
       AND (expire_time IS NULL OR expire_time > :now)
""")


async def copy(tx: Transaction, tenant: str, old: str, new: str) -> None:
    """Copies what has not expired of one run's entries into a new run, expirations included."""
    await tx.session.execute(_COPY, {"tenant": tenant, "old": old, "new": new, "now": tx.now})


_SWEEP = sa.text("""
    DELETE FROM data_cache d
     USING (SELECT task_record_id, key FROM data_cache
             WHERE tenant = :tenant AND expire_time IS NOT NULL AND expire_time <= :now
             LIMIT :limit FOR UPDATE SKIP LOCKED) dead
     WHERE d.tenant = :tenant AND d.task_record_id = dead.task_record_id AND d.key = dead.key
""")


async def sweep(tx: Transaction, tenant: str, limit: int) -> int:
    """Removes expired entries; answers how many."""
    swept = await tx.session.execute(_SWEEP, {"tenant": tenant, "now": tx.now, "limit": limit})
    return cast("CursorResult[Any]", swept).rowcount


async def delete(tx: Transaction, tenant: str, run: str, key: str) -> None:
    await tx.session.execute(
        sa.delete(table).where(c.tenant == tenant, c.task_record_id == run, c.key == key)
    )


def where(tenant: str, run: str, prefix: str) -> list[sa.ColumnElement[bool]]:
    conditions = [c.tenant == tenant, c.task_record_id == run, alive()]
    if prefix:
        conditions.append(c.key.startswith(prefix, autoescape=True))
    return conditions


def listing() -> Listing[DataCache]:
    return Listing(
        source=table,
        columns=BASIC,
        payload=[c.value],
        identity=c.key,
        orders={"key": c.key},
        to_message=rows.data_cache,
    )
