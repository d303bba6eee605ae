"""Writing entries of the data cache, as many at a time as there are."""

from collections.abc import Sequence

from vwed.v1.data_cache_pb2 import DataCache

from vwed_grpc.domain.entries import NOTHING, end_of
from vwed_grpc.domain.errors import FailedPrecondition, VwedError
from vwed_grpc.domain.field_mask import apply_mask
from vwed_grpc.domain.ids import new_id
from vwed_grpc.storage import data_cache, rows, task_records
from vwed_grpc.storage.database import Transaction
from vwed_grpc.storage.statement import Statement

_PATIENCE = Statement("SET LOCAL lock_timeout = '100ms'")


async def do_not_wait(tx: Transaction) -> None:
    """Statements that meet a lock of another transaction fail soon, with SQLSTATE 55P03."""
    await tx.fetch(_PATIENCE, {})


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
_PUT_ALL = Statement(_PUT.format(where=""))
_PUT_REPLACEABLE = Statement(_PUT.format(where=_IF_REPLACEABLE))


async def put(
    tx: Transaction,
    tenant: str,
    entries: Sequence[DataCache],
    replaceable: Sequence[int | None] = (),
) -> list[bool]:
    """Writes entries, a (run, key) once, and fills in what the store sets; answers which it wrote.

    Not written is what has no run, and what would replace another version than the `replaceable`
    one (`NOTHING`: any at all; None: whatever is there is replaced). For versions above `NOTHING`
    the transaction must then be rolled back: the entry may have been absent, and been created.
    """
    for entry in entries:
        entry.id = new_id()
    written = await tx.fetch(
        _PUT_REPLACEABLE if any(v is not None for v in replaceable) else _PUT_ALL,
        {
            "tenant": tenant,
            "runs": [e.task_record_id for e in entries],
            "keys": [e.key for e in entries],
            "ids": [e.id for e in entries],
            "types": [e.type for e in entries],
            "values": [_value(e) for e in entries],
            "expire_times": [end_of(e) for e in entries],
            "replaceables": list(replaceable) or [None] * len(entries),
        },
    )
    stored = {(row.task_record_id, row.key): row for row in written}
    done: list[bool] = []
    for index, entry in enumerate(entries):
        row = stored.get((entry.task_record_id, entry.key))
        created = row is not None and row.id == entry.id
        done.append(row is not None and not (created and replaceable and replaceable[index]))
        if row is not None:
            entry.id = row.id
            entry.version = row.version
            rows.put_time(entry.create_time, row.create_time)
            rows.put_time(entry.update_time, row.update_time)
    return done


def _value(entry: DataCache) -> bytes:
    value = DataCache()
    apply_mask(value, entry, [entry.WhichOneof("value") or ""])
    return value.SerializeToString(deterministic=True)


async def refusal(
    tx: Transaction, tenant: str, entry: DataCache, replaceable: int | None
) -> VwedError:
    """Why `put` did not write an entry."""
    run, key = entry.task_record_id, entry.key
    if await task_records.keep(tx, tenant, run) is None:
        return task_records.missing(run)
    if replaceable == NOTHING:
        return FailedPrecondition("KEY_EXISTS", f"there is an entry {key!r}", metadata={"key": key})
    present = await data_cache.lock(tx, tenant, run, key)
    if present is None or present.id == entry.id:
        return FailedPrecondition("KEY_ABSENT", f"no entry {key!r}", metadata={"key": key})
    return data_cache.mismatch(present)
