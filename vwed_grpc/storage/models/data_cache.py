from datetime import datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column
from vwed.v1 import data_cache_pb2

from vwed_grpc.storage.models.base import Base, Int64, Key, String, one

if TYPE_CHECKING:
    from vwed_grpc.storage.models.task_record import TaskRecord


class DataCache(Base):
    """An entry of a run's data cache, expired ones too until they are swept."""

    __tablename__ = "data_cache"

    task_record_id: Mapped[Key]
    key: Mapped[Key]
    id: Mapped[String]
    type: Mapped[data_cache_pb2.DataCacheType.ValueType] = mapped_column(sa.SmallInteger)
    # A serialized DataCache that holds the value alone.
    value: Mapped[bytes]
    expire_time: Mapped[datetime | None]
    version: Mapped[Int64]
    create_time: Mapped[datetime]
    update_time: Mapped[datetime]

    task_record: Mapped["TaskRecord"] = one("DataCache", "TaskRecord", task_record_id="id")

    @property
    def value_message(self) -> data_cache_pb2.DataCache:
        """The message with its value alone."""
        return data_cache_pb2.DataCache.FromString(self.value)


_c = DataCache.__table__.c
sa.Index("data_cache_expiring", _c.expire_time, postgresql_where=_c.expire_time.is_not(None))

# What the versions of entries are taken from: none comes twice, however often a key is deleted.
sa.Sequence("data_cache_versions", metadata=Base.metadata)
