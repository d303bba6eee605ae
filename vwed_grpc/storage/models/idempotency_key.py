from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped

from vwed_grpc.storage.models.base import Base, Key, String


class IdempotencyKey(Base):
    """A request id, and what the request made."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (sa.Index(None, "expire_time"),)

    request_id: Mapped[Key]
    method: Mapped[String]
    fingerprint: Mapped[bytes]
    resource_ids: Mapped[list[str]]
    expire_time: Mapped[datetime]
