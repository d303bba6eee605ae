from datetime import datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa
from google.protobuf.struct_pb2 import Struct
from sqlalchemy.orm import Mapped, mapped_column
from vwed.v1.block_record_pb2 import BlockRecordStatus

from vwed_grpc.storage.models.base import Base, Int64, IntKey, Key, String, many, one, struct

if TYPE_CHECKING:
    from vwed_grpc.storage.models.task_record import TaskRecord


class BlockRecord(Base):
    __tablename__ = "block_records"
    __table_args__ = (
        sa.UniqueConstraint("tenant", "task_record_id", "id"),
        sa.UniqueConstraint("tenant", "task_record_id", "first_seq"),
        {"postgresql_with": {"fillfactor": "80"}},
    )

    task_record_id: Mapped[Key]
    block_id: Mapped[Key]
    iteration: Mapped[Key]
    attempt: Mapped[IntKey]
    id: Mapped[String]
    block_type: Mapped[String]
    name: Mapped[String]
    status: Mapped[BlockRecordStatus.ValueType] = mapped_column(sa.SmallInteger)
    input_data: Mapped[bytes | None]
    output_data: Mapped[bytes | None]
    start_time: Mapped[datetime | None]
    end_time: Mapped[datetime | None]
    parent_block_record_id: Mapped[String]
    robot_id: Mapped[String]
    message: Mapped[String]
    error_message: Mapped[String]
    progress: Mapped[float] = mapped_column(server_default="0")
    first_seq: Mapped[Int64]
    seq: Mapped[Int64]
    create_time: Mapped[datetime]
    update_time: Mapped[datetime]

    task_record: Mapped["TaskRecord"] = one("BlockRecord", "TaskRecord", task_record_id="id")
    parent: Mapped["BlockRecord | None"] = one(
        "BlockRecord",
        "BlockRecord",
        task_record_id="task_record_id",
        parent_block_record_id="id",
    )
    children: Mapped[list["BlockRecord"]] = many(
        "BlockRecord",
        "BlockRecord",
        order_by="first_seq",
        task_record_id="task_record_id",
        parent_block_record_id="id",
    )

    @property
    def input_data_struct(self) -> Struct | None:
        return None if self.input_data is None else struct(self.input_data)

    @property
    def output_data_struct(self) -> Struct | None:
        return None if self.output_data is None else struct(self.output_data)
