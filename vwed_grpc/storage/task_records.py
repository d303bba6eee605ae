"""Runs: reading, locking, claiming, writing back."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects import postgresql as pg
from vwed.v1.task_record_pb2 import TaskRecord, TaskRecordFilter

from vwed_grpc.domain.blocks import BLOCK_COUNTS
from vwed_grpc.domain.errors import AlreadyExists, NotFound
from vwed_grpc.domain.ids import check_etag, new_etag
from vwed_grpc.domain.lifecycle import CANCELING, HELD, INTERRUPTED, PENDING, Status
from vwed_grpc.storage import models, rows, run_lists
from vwed_grpc.storage.by_key import ByKey
from vwed_grpc.storage.pool import Pool, ReadingPool
from vwed_grpc.storage.shapes import Shapes
from vwed_grpc.storage.statement import Statement
from vwed_grpc.storage.transaction import Transaction

log = structlog.get_logger()
table = models.TaskRecord.__table__
labels = models.TaskRecordLabel.__table__
c = table.c


@dataclass(slots=True)
class Run:
    """A locked run: its present state in full, and what only the store knows of it."""

    record: TaskRecord
    config_blocks: int
    run_seq: int
    final_seq: int | None = None
    lease: timedelta | None = None
    """None: it never runs out."""
    retry_chain: str = ""
    """The run that the chain of retries began with; "": this one, as far as it goes."""

    @classmethod
    def of(cls, row: sa.Row[Any]) -> "Run":
        """The run of a row that has all columns of the table."""
        return cls(
            rows.task_record(row),
            row.config_blocks,
            row.run_seq,
            row.final_seq,
            row.lease,
            row.retry_chain,
        )


def missing(id_: str) -> NotFound:
    """What is raised where the tenant has no such run."""
    return NotFound("TASK_RECORD_NOT_FOUND", f"no task_record {id_!r}", metadata={"id": id_})


def _by_id(id_: sa.ColumnElement[str]) -> sa.Select[Any]:
    """A run by its id, by the index of ids, whenever this was planned: see `block_records`."""
    own = (c.tenant == sa.bindparam("tenant"), c.id >= id_, c.id <= id_)
    return sa.select(table).where(*own).order_by(c.id)


_GET = ByKey(lambda given: _by_id(given.c.id), c.id)


async def get(pool: ReadingPool, tenant: str, id_: str) -> TaskRecord | None:
    """The run in full; None if there is none."""
    run = await get_run(pool, tenant, id_)
    return run.record if run else None


async def require(pool: ReadingPool, tenant: str, id_: str) -> None:
    """Raises NotFound: where nothing was found, a missing run must not look like an empty one."""
    if await get_run(pool, tenant, id_) is None:
        raise missing(id_)


async def get_run(pool: ReadingPool, tenant: str, id_: str) -> Run | None:
    """The run as it stands, not locked."""
    row = await pool.row(_GET, tenant, id_)
    return Run.of(row) if row else None


_ONE = _by_id(sa.bindparam("id", type_=c.id.type))
_LOCK = Statement(_ONE.with_for_update(key_share=True))
_LOCK_EXCLUSIVELY = Statement(_ONE.with_for_update())


async def lock(
    tx: Transaction, tenant: str, id_: str, etag: str = "", *, exclusive: bool = False
) -> Run:
    """The run, locked until the transaction ends; compares `etag` if given.

    If `exclusive`, no `lock_shared` gets it meanwhile: no run is made below it, no entry of its
    data cache is written. Raises NotFound, Aborted.
    """
    found = await tx.fetch(_LOCK_EXCLUSIVELY if exclusive else _LOCK, {"tenant": tenant, "id": id_})
    if not found:
        raise missing(id_)
    run = locked(tx, found)[0]
    check_etag("task_record", run.record, etag)
    return run


def lease_ran_out(tx: Transaction, record: TaskRecord, lease: timedelta | None) -> bool:
    """Whether the run's lease is over; one without (None) never is, nor one that nobody holds."""
    if lease is None or not record.HasField("lease_expire_time"):
        return False
    return tx.ran_out(rows.moment(record.lease_expire_time), lease)


def locked(tx: Transaction, found: Iterable[sa.Row[Any]]) -> list[Run]:
    """The runs of locked rows."""
    runs = []
    for row in found:
        tx.not_before(row.update_time)
        runs.append(Run.of(row))
    return runs


def _readable(tx: Transaction, tenant: str, found: Iterable[sa.Row[Any]]) -> list[Run]:
    """As `locked`, without those that cannot be read: others must not wait for these."""
    runs: list[Run] = []
    for row in found:
        try:
            runs += locked(tx, [row])
        except Exception:
            log.exception("a run cannot be read", tenant=tenant, id=row.id)
    return runs


_GIVEN = (
    "tenant", "id", "task_def_id", "task_def_version", "task_def_name", "task_type", "input",
    "retry_of", "retry_chain", "attempt", "config_blocks", "created_by", "create_time",
)  # fmt: skip
_PLACE = ("parent_task_record_id", "parent_block_record_id", "root_task_record_id")
_MUTABLE = (
    *_PLACE, "status", "result", "start_time", "end_time", "error_message", "error_code",
    "executor_id", "lease_epoch", "lease", "lease_expire_time", "robot_id", "message", "priority",
    "external_id", "labels", *(f"blocks_{name}" for name in BLOCK_COUNTS), "seq", "run_seq",
    "final_seq", "pinned", "status_actor", "status_reason", "update_time", "etag",
)  # fmt: skip
_INSERT = Statement(
    pg.insert(table)
    .on_conflict_do_nothing(index_elements=list(table.primary_key))
    .values({name: sa.bindparam(name) for name in (*_GIVEN, *_MUTABLE)})
    .returning(c.id)
)


async def insert(tx: Transaction, tenant: str, run: Run) -> None:
    """A new run. Raises AlreadyExists if the id is taken."""
    record = run.record
    rows.put_time(record.create_time, tx.now)
    record.etag = new_etag()
    added = await tx.fetch(
        _INSERT,
        {
            "tenant": tenant,
            "id": record.id,
            "task_def_id": record.task_def_id,
            "task_def_version": record.task_def_version,
            "task_def_name": record.task_def_name,
            "task_type": record.task_type,
            "input": record.input.SerializeToString(deterministic=True),
            "retry_of": record.retry_of,
            "retry_chain": run.retry_chain,
            "attempt": record.attempt,
            "config_blocks": run.config_blocks,
            "created_by": record.created_by,
            "create_time": tx.now,
            **_mutable(tx, run),
        },
    )
    if not added:
        raise AlreadyExists(
            "ID_TAKEN", f"there is a task_record {record.id!r}", metadata={"id": record.id}
        )
    await _write_labels(tx, tenant, record)


_SAVE = Statement(
    sa.update(table)
    .where(c.tenant == sa.bindparam("tenant_"), c.id == sa.bindparam("id_"))
    .values({name: sa.bindparam(name) for name in _MUTABLE})
)


async def save(tx: Transaction, tenant: str, run: Run, *, new_etag_too: bool = True) -> None:
    """Writes a locked run back."""
    await write(tx, [changed(tx, tenant, run, new_etag_too=new_etag_too)])


def changed(tx: Transaction, tenant: str, run: Run, *, new_etag_too: bool = True) -> dict[str, Any]:
    """What `write` is to write of a locked run, which gets its new update_time and etag."""
    if new_etag_too:
        run.record.etag = new_etag()
    return {"tenant_": tenant, "id_": run.record.id, **_mutable(tx, run)}


async def write(tx: Transaction, changes: Sequence[Mapping[str, Any]]) -> None:
    """Writes what became of locked runs."""
    await tx.each(_SAVE, changes)


_UNLABEL = Statement(
    sa.delete(labels).where(
        labels.c.tenant == sa.bindparam("tenant"), labels.c.task_record_id == sa.bindparam("run")
    )
)
_LABEL = Statement(
    sa.insert(labels).values({column.name: sa.bindparam(column.name) for column in labels.c})
)


async def relabel(tx: Transaction, tenant: str, record: TaskRecord) -> None:
    """Makes the index of labels what a run's labels have become."""
    await tx.fetch(_UNLABEL, {"tenant": tenant, "run": record.id})
    await _write_labels(tx, tenant, record)


async def _write_labels(tx: Transaction, tenant: str, record: TaskRecord) -> None:
    if record.labels:
        place = {
            "tenant": tenant,
            "create_time": rows.moment(record.create_time),
            "task_record_id": record.id,
        }
        await tx.each(_LABEL, [{**place, "key": k, "value": v} for k, v in record.labels.items()])


def _mutable(tx: Transaction, run: Run) -> dict[str, Any]:
    record = run.record
    rows.put_time(record.update_time, tx.now)
    return {
        **{name: getattr(record, name) for name in _PLACE},
        "status": record.status,
        "result": record.result.SerializeToString(deterministic=True)
        if record.HasField("result")
        else None,
        "start_time": rows.moment(record.start_time) if record.HasField("start_time") else None,
        "end_time": rows.moment(record.end_time) if record.HasField("end_time") else None,
        "error_message": record.error_message,
        "error_code": record.error_code,
        "executor_id": record.executor_id,
        "lease_epoch": record.lease_epoch,
        "lease": run.lease,
        "lease_expire_time": rows.moment(record.lease_expire_time)
        if record.HasField("lease_expire_time")
        else None,
        "robot_id": record.robot_id,
        "message": record.message,
        "priority": record.priority,
        "external_id": record.external_id,
        "labels": dict(record.labels),
        **{f"blocks_{name}": getattr(record.block_counts, name) for name in BLOCK_COUNTS},
        "seq": record.seq,
        "run_seq": run.run_seq,
        "final_seq": run.final_seq,
        "pinned": record.pinned,
        "status_actor": record.status_actor,
        "status_reason": record.status_reason,
        "update_time": tx.now,
        "etag": record.etag,
    }


def among(statuses: Iterable[Status]) -> sa.ColumnElement[bool]:
    """As literals, so that the planner sees which partial index applies."""
    numbers: list[sa.ColumnElement[int]] = [
        sa.literal_column(str(int(s))) for s in sorted(statuses)
    ]
    return c.status.in_(numbers)


async def claim(
    tx: Transaction, tenant: str, f: TaskRecordFilter, count: int, *, interrupted: bool
) -> list[Run]:
    """Locks up to `count` runs that wait for an executor, the most urgent first.

    Rows that others are claiming or changing are skipped, so no two claimers get the same run.
    """
    where = run_lists.where(tenant, f)
    waiting = among([PENDING, INTERRUPTED] if interrupted else [PENDING])
    limit = sa.literal(count)
    statement, parameters = _CLAIMS.bound(
        len(where),
        [*where, waiting, limit],
        lambda: (
            sa.select(table)
            .where(*where, waiting)
            .order_by(c.priority.desc(), c.create_time, c.id)
            .limit(limit)
            .with_for_update(key_share=True, skip_locked=True)
        ),
    )
    return _readable(tx, tenant, await tx.fetch(statement, parameters))


_CLAIMS = Shapes()


def _expired(now: sa.ColumnElement[datetime]) -> sa.Select[Any]:
    return (
        sa.select(table)
        .where(
            c.tenant == sa.bindparam("tenant"),
            among(HELD),
            c.lease.is_not(None),
            c.lease_expire_time <= now,
        )
        .order_by(c.id)
    )


_NOW = sa.bindparam("now", type_=c.lease_expire_time.type)
_EXPIRED_IDS = (
    _expired(sa.func.clock_timestamp())
    .with_only_columns(c.id)
    .where(c.id > sa.bindparam("after"))
    .limit(sa.bindparam("limit"))
)
_LOCK_EXPIRED = Statement(
    _expired(_NOW)
    .where(c.id == sa.any_(sa.bindparam("ids", type_=pg.ARRAY(c.id.type))))
    .with_for_update(key_share=True, skip_locked=True)
)


async def expired(pool: Pool, tenant: str, after: str, limit: int) -> list[str]:
    """The ids, in order, of runs whose lease has run out; from the id `after` on."""
    parameters = {"tenant": tenant, "after": after, "limit": limit}
    return [row.id for row in await pool.select(_EXPIRED_IDS, parameters)]


async def lock_expired(tx: Transaction, tenant: str, ids: Sequence[str]) -> list[Run]:
    """Locks those of the runs whose lease has run out; those that are being changed are skipped."""
    parameters = {"tenant": tenant, "now": tx.now, "ids": list(ids)}
    return locked(tx, await tx.fetch(_LOCK_EXPIRED, parameters))


async def lock_lost(tx: Transaction, tenant: str, f: TaskRecordFilter, limit: int) -> list[Run]:
    """As `lock_expired`, the most urgent of the runs of a filter that another executor may take."""
    found = await tx.session.execute(
        sa.select(table)
        .where(
            *run_lists.where(tenant, f),
            among(HELD - {CANCELING}),
            c.lease.is_not(None),
            c.lease_expire_time <= tx.now,
        )
        .order_by(c.priority.desc(), c.create_time, c.id)
        .limit(limit)
        .with_for_update(key_share=True, skip_locked=True)
    )
    return _readable(tx, tenant, found)


_LOCK_ALL = Statement(
    sa.select(table)
    .where(
        c.tenant == sa.bindparam("tenant"),
        c.id == sa.any_(sa.bindparam("ids", type_=pg.ARRAY(sa.Text))),
    )
    .order_by(c.id)
    .with_for_update(key_share=True)
)


async def lock_all(tx: Transaction, tenant: str, ids: Sequence[str]) -> list[Run]:
    """Those of the runs that are there, by id."""
    return locked(tx, await tx.fetch(_LOCK_ALL, {"tenant": tenant, "ids": list(ids)}))


_LOCK_SHARED = Statement(
    sa.select(c.root_task_record_id)
    .where(c.tenant == sa.bindparam("tenant"), c.id == sa.bindparam("id_"))
    .with_for_update(read=True, key_share=True)
)


async def lock_shared(tx: Transaction, tenant: str, id_: str) -> str | None:
    """The run's root, None if there is no such run; while the transaction lasts it stays."""
    found = await tx.fetch(_LOCK_SHARED, {"tenant": tenant, "id_": id_})
    return found[0].root_task_record_id if found else None


_ADD_RECORDED = Statement(
    "UPDATE task_records SET blocks_recorded = blocks_recorded + CAST(:blocks AS int)"
    " WHERE tenant = :tenant AND id = :id"
)


async def add_recorded(tx: Transaction, tenant: str, id_: str, blocks: int) -> None:
    """Counts block rows against the limit of a run."""
    await tx.fetch(_ADD_RECORDED, {"tenant": tenant, "id": id_, "blocks": blocks})
