from datetime import datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column
from vwed.v1 import task_record_event_pb2

from vwed_grpc.domain.wire_format import merged
from vwed_grpc.storage.models.base import Base, Int64, Key, one

if TYPE_CHECKING:
    from vwed_grpc.storage.models.task_record import TaskRecord


class TaskRecordEvent(Base):
    """The event log of runs."""

    __tablename__ = "task_record_events"
    __table_args__ = (
        sa.Index(None, "tenant", "xact", "task_record_id", "seq"),
        # Rows stand in the order of their time, which is all that retention asks.
        sa.Index("task_record_events_age", "event_time", postgresql_using="brin"),
    )

    task_record_id: Mapped[Key]
    seq: Mapped[int] = mapped_column(
        sa.BigInteger, primary_key=True, autoincrement=False, sort_order=-1
    )
    # The last seq of the report or transition that this event belongs to.
    group_seq: Mapped[Int64]
    # One of `storage.events.Kind`.
    kind: Mapped[int] = mapped_column(sa.SmallInteger)
    event_time: Mapped[datetime]
    # Which transaction wrote it: readers of many runs go by this, as seqs are per run.
    xact: Mapped[int] = mapped_column(
        sa.BigInteger, server_default=sa.text("(pg_current_xact_id()::text)::bigint")
    )
    # The serialized TaskRecordEvent of VIEW_BASIC, and what VIEW_FULL has besides.
    event: Mapped[bytes]
    payload: Mapped[bytes | None]

    task_record: Mapped["TaskRecord | None"] = one(
        "TaskRecordEvent", "TaskRecord", task_record_id="id"
    )
    """None once the run is deleted: events are kept longer."""

    @property
    def event_message(self) -> task_record_event_pb2.TaskRecordEvent:
        """The event of VIEW_FULL."""
        full = merged(self.event, self.payload) if self.payload else self.event
        return task_record_event_pb2.TaskRecordEvent.FromString(full)
