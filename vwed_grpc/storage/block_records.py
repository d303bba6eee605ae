"""Blocks of runs: looked up and written many at a time, for many runs at once."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any

import sqlalchemy as sa
from vwed.v1.block_record_pb2 import BlockRecord, BlockRecordFilter

from vwed_grpc.domain.blocks import CANCELED, FINAL, Block
from vwed_grpc.domain.errors import NotFound
from vwed_grpc.loop.turns import in_turns
from vwed_grpc.storage import models, rows
from vwed_grpc.storage.conditions import one_of
from vwed_grpc.storage.listing import Listing
from vwed_grpc.storage.pool import ReadingPool
from vwed_grpc.storage.statement import Statement
from vwed_grpc.storage.transaction import Transaction

table = models.BlockRecord.__table__
c = table.c
PAYLOAD = (c.input_data, c.output_data)
BASIC = [column for column in c if column not in PAYLOAD]

Key = tuple[str, str, str, int]
"""Run, block_id, iteration, attempt."""


def missing(id_: str) -> NotFound:
    """What is raised where no block of the run has this id."""
    return NotFound("BLOCK_RECORD_NOT_FOUND", f"no block_record {id_!r}", metadata={"id": id_})


_GET = Statement(
    sa.select(table).where(
        c.tenant == sa.bindparam("tenant"),
        c.task_record_id == sa.bindparam("run"),
        c.id == sa.bindparam("id"),
    )
)


async def get(pool: ReadingPool, tenant: str, run: str, id_: str) -> BlockRecord | None:
    """The block of this run in full; None if there is none."""
    found = await pool.fetch(_GET, {"tenant": tenant, "run": run, "id": id_})
    return rows.block_record(found[0]) if found else None


BASIC_NAMES = ", ".join(f"b.{column.name}" for column in BASIC if column.name != "tenant")
_DIGESTS = "sha256(b.input_data) AS input_digest, sha256(b.output_data) AS output_digest"

# While there are no statistics a plain join reads all blocks of the tenant. OFFSET 0 has each one
# looked up by itself, and the order asks for the right one of the indexes that begin with the run.
_LOOK_UP = Statement(f"""
    SELECT {BASIC_NAMES}, {_DIGESTS},
           CASE WHEN k.full_view THEN b.input_data END AS stored_input,
           CASE WHEN k.full_view THEN b.output_data END AS stored_output
      FROM unnest(CAST(:runs AS text[]), CAST(:block_ids AS text[]), CAST(:iterations AS text[]),
                  CAST(:full_views AS boolean[])) AS k (run, block_id, iteration, full_view)
     CROSS JOIN LATERAL (
           SELECT * FROM block_records b WHERE b.tenant = :tenant AND b.task_record_id = k.run
              AND b.block_id = k.block_id AND b.iteration = k.iteration
            ORDER BY b.attempt OFFSET 0) b
""")  # noqa: S608 - column names from the table's own definition


def _by_id(id_: str) -> str:
    """A block of the run `k.run` by its id, by the index of ids, whenever this was planned.

    To a planner who has seen an empty table one index is as good as another that begins with the
    run, and its plan may be kept until runs are large. To be equal to one id would make the order
    go without saying; to be neither less nor greater does not.
    """
    return f"""
        SELECT b.task_record_id, b.id, b.parent_block_record_id FROM block_records b
         WHERE b.tenant = :tenant AND b.task_record_id = k.run AND b.id >= {id_} AND b.id <= {id_}
         ORDER BY b.id OFFSET 0"""  # noqa: S608 - names of our own


_LOOK_UP_IDS = Statement(f"""
    SELECT b.task_record_id, b.id
      FROM unnest(CAST(:runs AS text[]), CAST(:ids AS text[])) AS k (run, id)
     CROSS JOIN LATERAL ({_by_id("k.id")}) b
""")  # noqa: S608 - the same


async def look_up(
    tx: Transaction, tenant: str, named: Mapping[tuple[str, str, str], bool]
) -> dict[Key, Block]:
    """Every attempt of the (run, block_id, iteration)s; those marked True with their payload."""
    found = await tx.fetch(
        _LOOK_UP,
        {
            "tenant": tenant,
            "runs": [k[0] for k in named],
            "block_ids": [k[1] for k in named],
            "iterations": [k[2] for k in named],
            "full_views": list(named.values()),
        },
    )
    return dict(await in_turns(_keyed, found))


def _keyed(row: sa.Row[Any]) -> tuple[Key, Block]:
    block = Block(
        rows.block_record(row),
        input_digest=row.input_digest,
        output_digest=row.output_digest,
        stored_input=row.stored_input,
        stored_output=row.stored_output,
    )
    return (row.task_record_id, row.block_id, row.iteration, row.attempt), block


async def look_up_ids(
    tx: Transaction, tenant: str, named: Iterable[tuple[str, str]]
) -> set[tuple[str, str]]:
    """Those of the (run, id)s that exist."""
    pairs = list(named)
    found = await tx.fetch(
        _LOOK_UP_IDS,
        {"tenant": tenant, "runs": [p[0] for p in pairs], "ids": [p[1] for p in pairs]},
    )
    return {(row.task_record_id, row.id) for row in found}


# UNION takes each block once, and LIMIT stops the recursion: PostgreSQL goes up no further than it
# is asked for rows.
_ABOVE = Statement(f"""
    SELECT k.run, up.id, up.parent
      FROM (SELECT run, array_agg(id) AS ids
              FROM unnest(CAST(:runs AS text[]), CAST(:ids AS text[])) AS g (run, id)
             GROUP BY run) k
     CROSS JOIN LATERAL (
           WITH RECURSIVE up (id, parent) AS (
                SELECT b.id, b.parent_block_record_id
                  FROM unnest(k.ids) AS n (id) CROSS JOIN LATERAL ({_by_id("n.id")}) b
                 UNION
                SELECT b.id, b.parent_block_record_id
                  FROM up CROSS JOIN LATERAL ({_by_id("up.parent")}) b)
           SELECT id, parent FROM up LIMIT CAST(:most AS int)) up
""")  # noqa: S608 - the same


async def look_above(
    tx: Transaction, tenant: str, named: Iterable[tuple[str, str]], most: int
) -> dict[tuple[str, str], str]:
    """Of the (run, id)s and of all blocks above them the parents ("": none); `most` of each run."""
    pairs = list(named)
    found = await tx.fetch(
        _ABOVE,
        {
            "tenant": tenant,
            "runs": [p[0] for p in pairs],
            "ids": [p[1] for p in pairs],
            "most": most,
        },
    )
    return {(row.run, row.id): row.parent for row in found}


_UPSERTED = {
    "task_record_id": "text",
    "block_id": "text",
    "iteration": "text",
    "attempt": "int",
    "id": "text",
    "block_type": "text",
    "name": "text",
    "status": "smallint",
    "input_data": "bytea",
    "output_data": "bytea",
    "start_time": "timestamptz",
    "end_time": "timestamptz",
    "parent_block_record_id": "text",
    "robot_id": "text",
    "message": "text",
    "error_message": "text",
    "progress": "float8",
    "first_seq": "bigint",
    "seq": "bigint",
}
_FIXED = {"task_record_id", "block_id", "iteration", "attempt", "id", "first_seq"}
_KEPT_IF_UNSET = {"input_data", "output_data"}


def _assignment(name: str) -> str:
    if name in _KEPT_IF_UNSET:
        return f"{name} = coalesce(excluded.{name}, block_records.{name})"
    return f"{name} = excluded.{name}"


UPSERT = Statement(f"""
    INSERT INTO block_records (tenant, {", ".join(_UPSERTED)}, create_time, update_time)
    SELECT :tenant, u.*, :now, :now
      FROM unnest({", ".join(f"CAST(:{n} AS {t}[])" for n, t in _UPSERTED.items())})
           AS u ({", ".join(_UPSERTED)})
        ON CONFLICT (tenant, task_record_id, block_id, iteration, attempt) DO UPDATE
       SET {", ".join(_assignment(n) for n in _UPSERTED if n not in _FIXED)},
           update_time = excluded.update_time
""")  # noqa: S608 - column names from the mapping above


def upserted(tenant: str, now: datetime, blocks: Iterable[tuple[str, Block]]) -> dict[str, Any]:
    """The parameters of UPSERT: blocks of any number of locked runs, each (run, block) once."""
    columns: dict[str, list[Any]] = {name: [] for name in _UPSERTED}
    for run, block in blocks:
        r = block.record
        values = (
            run, r.block_id, r.iteration, r.attempt, r.id, r.block_type, r.name, r.status,
            block.input_data, block.output_data,
            rows.moment(r.start_time) if r.HasField("start_time") else None,
            rows.moment(r.end_time) if r.HasField("end_time") else None,
            r.parent_block_record_id, r.robot_id, r.message, r.error_message, r.progress,
            r.first_seq, r.seq,
        )  # fmt: skip
        for column, value in zip(columns.values(), values, strict=True):
            column.append(value)
    return {"tenant": tenant, "now": now, **columns}


PAGE = 500
"""Blocks that one statement closes."""
_IS_OPEN = f"status NOT IN ({', '.join(str(int(s)) for s in sorted(FINAL))})"

# By ctid: the run's lock keeps its blocks where they are. A place is of one tenant's part alone
# where tables are divided; by the range of seqs, a plan that does not go by the place reads no more
# than the page, whatever the statistics.
_CLOSE_OPEN = Statement(f"""
      WITH open AS MATERIALIZED (
           SELECT ctid AS place, first_seq, row_number() OVER (ORDER BY first_seq) AS nth
             FROM block_records
            WHERE tenant = :tenant AND task_record_id = :run AND first_seq > :after AND {_IS_OPEN}
            ORDER BY first_seq LIMIT {PAGE})
    UPDATE block_records b
       SET status = {int(CANCELED)}, end_time = :now, update_time = :now, seq = :seq + open.nth
      FROM open
     WHERE b.tenant = :tenant AND b.task_record_id = :run
       AND b.first_seq > :after AND b.first_seq <= (SELECT max(first_seq) FROM open)
       AND b.ctid = open.place
 RETURNING {BASIC_NAMES}
""")  # noqa: S608 - numbers and column names of our own
_COUNT_OPEN = Statement(f"""
    SELECT count(*) AS open FROM block_records
     WHERE tenant = :tenant AND task_record_id = :run AND {_IS_OPEN}
""")  # noqa: S608 - numbers of our own


async def close_open(
    tx: Transaction, tenant: str, run: str, seq: int, *, after: int = -1
) -> Sequence[sa.Row[Any]]:
    """Cancels blocks of a locked run that are not final; they take the seqs after `seq`.

    The first PAGE of those whose first_seq is above `after`, in that order.
    """
    found = await tx.fetch(
        _CLOSE_OPEN, {"tenant": tenant, "run": run, "seq": seq, "now": tx.now, "after": after}
    )
    return sorted(found, key=attrgetter("seq"))


async def count_open(tx: Transaction, tenant: str, run: str) -> int:
    """How many blocks of a run are not final."""
    return int((await tx.fetch(_COUNT_OPEN, {"tenant": tenant, "run": run}))[0].open)


def where(tenant: str, run: str, f: BlockRecordFilter) -> list[sa.ColumnElement[bool]]:
    """The conditions that a run's blocks have to meet, all of them: for `LISTING`."""
    conditions: list[sa.ColumnElement[bool]] = [c.tenant == tenant, c.task_record_id == run]
    for column, values in (
        (c.status, f.statuses),
        (c.block_id, f.block_ids),
        (c.block_type, f.block_types),
        (c.robot_id, f.robot_ids),
        (c.parent_block_record_id, [f.parent_block_record_id] if f.parent_block_record_id else []),
    ):
        conditions += one_of(column, values)
    if f.iteration_prefix:
        conditions.append(
            (c.iteration == f.iteration_prefix)
            | c.iteration.startswith(f"{f.iteration_prefix}.", autoescape=True)
        )
    if f.latest_attempt_only:
        later = table.alias("later")
        conditions.append(
            ~sa.exists().where(
                later.c.tenant == c.tenant,
                later.c.task_record_id == c.task_record_id,
                later.c.block_id == c.block_id,
                later.c.iteration == c.iteration,
                later.c.attempt > c.attempt,
            )
        )
    return conditions


LISTING: Listing[BlockRecord] = Listing(
    source=table,
    columns=BASIC,
    payload=PAYLOAD,
    identity=c.id,
    orders={"first_seq": c.first_seq},
    reader=rows.block_records,
)


_SNAPSHOT = Statement(f"""
    SELECT {BASIC_NAMES}, CASE WHEN CAST(:full AS boolean) THEN b.input_data END AS input_data,
           CASE WHEN CAST(:full AS boolean) THEN b.output_data END AS output_data
      FROM (SELECT *, sum(weight) OVER (ORDER BY seq) - weight AS before
              FROM (SELECT *, 300 + octet_length(error_message)
                           + CASE WHEN CAST(:full AS boolean)
                                  THEN coalesce(octet_length(input_data), 0)
                                       + coalesce(octet_length(output_data), 0)
                                  ELSE 0 END AS weight
                      FROM block_records
                     WHERE tenant = :tenant AND task_record_id = :run
                       AND seq > :after_seq AND seq <= :until_seq
                     ORDER BY seq LIMIT :limit) page) b
     WHERE before < :max_bytes
     ORDER BY seq
""")  # noqa: S608 - column names from the table's own definition


async def changed_between(
    pool: ReadingPool, tenant: str, run: str, after_seq: int, until_seq: int, *, full: bool
) -> list[BlockRecord]:
    """Blocks by the seq of their last change: at most 1,000, and about 256 KiB or one block."""
    found = await pool.fetch(
        _SNAPSHOT,
        {
            "tenant": tenant,
            "run": run,
            "after_seq": after_seq,
            "until_seq": until_seq,
            "full": full,
            "limit": 1000,
            "max_bytes": 256 << 10,
        },
    )
    return await in_turns(rows.block_record, found)
