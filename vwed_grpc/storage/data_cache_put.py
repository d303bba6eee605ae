"""Writing entries of the data cache, as many at a time as there are."""

from collections.abc import Sequence

from vwed.v1.data_cache_pb2 import DataCache

from vwed_grpc.domain.entries import NOTHING, Put, end_of
from vwed_grpc.domain.errors import FailedPrecondition, VwedError
from vwed_grpc.domain.ids import new_id
from vwed_grpc.domain.wire_format import field
from vwed_grpc.loop.turns import in_turns
from vwed_grpc.storage import data_cache, rows, task_records
from vwed_grpc.storage.statement import Statement
from vwed_grpc.storage.transaction import Transaction

# One pass over the rows, in an order that all writers keep to, so they do not deadlock.
# Whoever replaces a row may have waited for it. So all that depends on the time is worked out under
# its lock, from one look at the clock; what was `given` is found again by the new id.
_PUT = """
    WITH given AS (
        SELECT * FROM unnest(CAST(:runs AS text[]), CAST(:keys AS text[]), CAST(:ids AS text[]),
                             CAST(:types AS smallint[]), CAST(:values AS bytea[]),
                             CAST(:expire_times AS timestamptz[]), CAST(:ttls AS interval[]))
            AS g (run, key, id, type, value, expire_time, ttl)
    ), kept AS (
        SELECT id FROM task_records WHERE tenant = :tenant AND id = ANY(CAST(:runs AS text[]))
         ORDER BY id FOR KEY SHARE
    ), clock AS MATERIALIZED (
        SELECT clock_timestamp() AS now FROM (SELECT count(*) FROM kept) AS locked
    )
    INSERT INTO data_cache AS d (tenant, task_record_id, key, id, type, value, expire_time, version,
                                 create_time, update_time)
    SELECT :tenant, run, key, given.id, type, value, coalesce(now + ttl, expire_time),
           nextval('data_cache_versions'), now, now
      FROM given JOIN kept ON kept.id = run, clock
     WHERE expire_time IS NULL OR expire_time > now
     ORDER BY run COLLATE "C", key COLLATE "C"
        ON CONFLICT (tenant, task_record_id, key) DO UPDATE
       SET type = excluded.type, value = excluded.value,
           -- Taken again, under the row's lock: it must be above what is there.
           version = nextval('data_cache_versions'),
           -- What replaces an expired entry is a new one.
           (id, create_time, update_time, expire_time) = (
               SELECT CASE WHEN d.expire_time <= now THEN excluded.id ELSE d.id END,
                      CASE WHEN d.expire_time <= now THEN now ELSE d.create_time END,
                      now, coalesce(now + ttl, excluded.expire_time)
                 FROM (SELECT greatest(d.update_time, clock_timestamp()) AS now,
                              (CAST(:ttls AS interval[]))[n] AS ttl
                         FROM array_position(CAST(:ids AS text[]), excluded.id) AS n) AS locked)
     {where}
    RETURNING task_record_id, key, id, version, create_time, update_time, expire_time
"""
_IF_MAY = """
     WHERE (SELECT (replaceable IS NULL OR replaceable =
                    CASE WHEN d.expire_time <= now THEN 0 ELSE d.version END)
                   AND (expire_time IS NULL OR expire_time > now)
              FROM (SELECT clock_timestamp() AS now,
                           (CAST(:replaceables AS bigint[]))[n] AS replaceable,
                           (CAST(:expire_times AS timestamptz[]))[n] AS expire_time
                      FROM array_position(CAST(:ids AS text[]), excluded.id) AS n) AS locked)
"""
_PUT_ALL = Statement(_PUT.format(where=""))
_PUT_IF_MAY = Statement(_PUT.format(where=_IF_MAY))


async def put(tx: Transaction, tenant: str, puts: Sequence[Put]) -> list[bool]:
    """Writes entries, a (run, key) once, and fills in what the store sets; answers which it wrote.

    Not written is what has no run, what would replace another version than it may, and what expires
    before its turn has come. For versions above `NOTHING` the transaction must then be rolled back:
    the entry may have been absent, and been created.
    """
    entries = [one.entry for one in puts]
    for entry in entries:
        entry.id = new_id()
    values = {
        "tenant": tenant,
        "runs": [e.task_record_id for e in entries],
        "keys": [e.key for e in entries],
        "ids": [e.id for e in entries],
        "types": [e.type for e in entries],
        "values": await in_turns(_value, entries),
        "expire_times": [end_of(e) for e in entries],
        "ttls": [one.ttl for one in puts],
        "replaceables": [one.replaceable for one in puts],
    }
    always = all(one.replaceable is None and not one.entry.HasField("expire_time") for one in puts)
    written = await tx.fetch(_PUT_ALL if always else _PUT_IF_MAY, values)
    stored = {(run, key): rest for run, key, *rest in map(tuple, written)}
    done: list[bool] = []
    for one, entry in zip(puts, entries, strict=True):
        row = stored.get((entry.task_record_id, entry.key))
        if row is None:
            done.append(False)
            continue
        id_, version, create_time, update_time, expire_time = row
        done.append(not (id_ == entry.id and one.replaceable))
        entry.id = id_
        entry.version = version
        rows.put_time(entry.create_time, create_time)
        rows.put_time(entry.update_time, update_time)
        rows.put_time(entry.expire_time, expire_time)
    return done


def _value(entry: DataCache) -> bytes:
    which = entry.WhichOneof("value") or ""
    if which == "json_value":  # without a copy, which takes long if it is large
        value = entry.json_value.SerializeToString(deterministic=True)
        return field(DataCache.JSON_VALUE_FIELD_NUMBER, value)
    return DataCache(**{which: getattr(entry, which)}).SerializeToString()


_CLOCK = Statement("SELECT clock_timestamp() AS now")


async def refusal(tx: Transaction, tenant: str, asked: Put) -> VwedError:
    """Why `put` did not write an entry."""
    entry = asked.entry
    run, key = entry.task_record_id, entry.key
    if await task_records.lock_shared(tx, tenant, run) is None:
        return task_records.missing(run)
    end = end_of(entry)
    if end is not None and end <= (await tx.fetch(_CLOCK, {}))[0].now:
        return asked.too_late()
    if asked.replaceable == NOTHING:
        return FailedPrecondition("KEY_EXISTS", f"there is an entry {key!r}", metadata={"key": key})
    present = await data_cache.lock(tx, tenant, run, key)
    if present is None or present.id == entry.id:
        return FailedPrecondition("KEY_ABSENT", f"no entry {key!r}", metadata={"key": key})
    return data_cache.mismatch(present)
