"""Runs, and the index of their labels."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sa
from google.protobuf.struct_pb2 import Struct
from sqlalchemy.orm import Mapped, mapped_column
from vwed.v1.task_record_pb2 import TaskRecordStatus

from vwed_grpc.storage.models.base import (
    Base,
    Int32,
    Int64,
    Key,
    Labels,
    Ordinal,
    String,
    many,
    one,
    struct,
)

if TYPE_CHECKING:
    from vwed_grpc.storage.models.block_record import BlockRecord
    from vwed_grpc.storage.models.data_cache import DataCache
    from vwed_grpc.storage.models.event import TaskRecordEvent
    from vwed_grpc.storage.models.task_def import TaskDef, TaskDefVersion


class TaskRecord(Base):
    """A run."""

    __tablename__ = "task_records"
    # Every report changes a run's row: room on the page, and no index on what a report changes,
    # keep these updates HOT.
    __table_args__ = ({"postgresql_with": {"fillfactor": "70"}},)

    id: Mapped[Key]
    task_def_id: Mapped[String]
    task_def_version: Mapped[Int32]
    task_def_name: Mapped[String]
    task_type: Mapped[String]
    status: Mapped[TaskRecordStatus.ValueType] = mapped_column(sa.SmallInteger)
    input: Mapped[bytes | None]
    result: Mapped[bytes | None]
    start_time: Mapped[datetime | None]
    end_time: Mapped[datetime | None]
    error_message: Mapped[String]
    error_code: Mapped[String]
    executor_id: Mapped[String]
    lease_epoch: Mapped[Int64]
    lease: Mapped[timedelta | None]
    lease_expire_time: Mapped[datetime | None]
    robot_id: Mapped[String]
    message: Mapped[String]
    priority: Mapped[Int32]
    external_id: Mapped[String]
    labels: Mapped[Labels]
    parent_task_record_id: Mapped[String]
    parent_block_record_id: Mapped[String]
    root_task_record_id: Mapped[String]
    retry_of: Mapped[String]
    # The first run of the chain that a retry belongs to, however many of the others are gone.
    retry_chain: Mapped[String]
    attempt: Mapped[Ordinal]
    # How many blocks the config has; with the counts below it gives total and progress.
    config_blocks: Mapped[Int32]
    blocks_pending: Mapped[Int32]
    blocks_running: Mapped[Int32]
    blocks_paused: Mapped[Int32]
    blocks_succeeded: Mapped[Int32]
    blocks_failed: Mapped[Int32]
    blocks_skipped: Mapped[Int32]
    blocks_canceled: Mapped[Int32]
    # All rows, earlier attempts too: what the limit of 200,000 counts.
    blocks_recorded: Mapped[Int32]
    seq: Mapped[Int64]
    # The seq of the newest event of the run itself, and of the one that made it final.
    run_seq: Mapped[Int64]
    final_seq: Mapped[int | None] = mapped_column(sa.BigInteger)
    pinned: Mapped[bool] = mapped_column(server_default=sa.false())
    created_by: Mapped[String]
    status_actor: Mapped[String]
    status_reason: Mapped[String]
    create_time: Mapped[datetime]
    update_time: Mapped[datetime]
    etag: Mapped[String]

    task_def: Mapped["TaskDef"] = one("TaskRecord", "TaskDef", task_def_id="id")
    task_def_content: Mapped["TaskDefVersion"] = one(
        "TaskRecord", "TaskDefVersion", task_def_id="task_def_id", task_def_version="version"
    )
    """The version that was pinned when the run was made."""
    block_records: Mapped[list["BlockRecord"]] = many(
        "TaskRecord", "BlockRecord", order_by="first_seq", task_record_id="id"
    )
    data_caches: Mapped[list["DataCache"]] = many(
        "TaskRecord",
        "DataCache",
        order_by="key",
        task_record_id="id",
        # What has expired is absent, and a deleted entry has expired.
        only="or_(DataCache.expire_time.is_(None), DataCache.expire_time > func.clock_timestamp())",
    )
    events: Mapped[list["TaskRecordEvent"]] = many(
        "TaskRecord", "TaskRecordEvent", order_by="seq", task_record_id="id"
    )
    parent: Mapped["TaskRecord | None"] = one(
        "TaskRecord", "TaskRecord", parent_task_record_id="id"
    )
    children: Mapped[list["TaskRecord"]] = many(
        "TaskRecord", "TaskRecord", order_by="create_time", parent_task_record_id="id"
    )
    retried: Mapped["TaskRecord | None"] = one("TaskRecord", "TaskRecord", retry_of="id")
    """The run that this one is a retry of."""
    retries: Mapped[list["TaskRecord"]] = many(
        "TaskRecord", "TaskRecord", order_by="attempt", retry_of="id"
    )

    @property
    def input_struct(self) -> Struct | None:
        return None if self.input is None else struct(self.input)

    @property
    def result_struct(self) -> Struct | None:
        return None if self.result is None else struct(self.result)


class TaskRecordLabel(Base):
    """The labels of runs, each where a list of the runs that bear it reads them in order.

    A jsonb index would find all of them and sort, however many they are.
    """

    __tablename__ = "task_record_labels"
    __table_args__ = (sa.Index(None, "tenant", "task_record_id"),)

    key: Mapped[Key]
    value: Mapped[Key]
    create_time: Mapped[datetime] = mapped_column(primary_key=True, sort_order=-1)
    task_record_id: Mapped[Key]


_c = TaskRecord.__table__.c

# What a claim and the sweeper of leases look for; open runs alone are in these.
sa.Index(
    "task_records_claimable",
    _c.tenant,
    _c.priority.desc(),
    _c.create_time,
    _c.id,
    postgresql_where=_c.status.in_([1, 6]),
)
sa.Index(
    "task_records_leased",
    _c.tenant,
    _c.id,
    postgresql_where=sa.and_(_c.status.in_([2, 3, 4, 5]), _c.lease.is_not(None)),
)

# What is asked to tell how long runs wait: the oldest of each task type.
sa.Index(
    "task_records_pending",
    _c.tenant,
    _c.task_type,
    _c.create_time,
    postgresql_where=_c.status == 1,
)

# What hangs on a definition or on a run above: few of many, because they are open.
_OPEN = _c.status.in_([1, 2, 3, 4, 5, 6])
sa.Index("task_records_open_of_task_def", _c.tenant, _c.task_def_id, postgresql_where=_OPEN)

# What is asked before a run is retried or pruned: whether a later run of its chain is open.
sa.Index(
    "task_records_open_retries",
    _c.tenant,
    _c.retry_chain,
    _c.attempt,
    postgresql_where=sa.and_(_c.retry_chain != "", _OPEN),
)

# What summaries and retention go by.
sa.Index("task_records_ended", _c.tenant, _c.end_time)

# Lists by create_time, alone and with one filter, read their page in order from one of these.
_NEWEST = (_c.create_time.desc(), _c.id)
sa.Index("task_records_newest", _c.tenant, *_NEWEST)
for _filtered in ("task_def_id", "status", "external_id", "executor_id", "robot_id"):
    sa.Index(f"task_records_{_filtered}", _c.tenant, _c[_filtered], *_NEWEST)
for _filtered in ("parent_task_record_id", "retry_of"):
    sa.Index(
        f"task_records_{_filtered}",
        _c.tenant,
        _c[_filtered],
        *_NEWEST,
        postgresql_where=_c[_filtered] != "",
    )
