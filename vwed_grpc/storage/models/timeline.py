from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from vwed_grpc.storage.models.base import Base, IntKey


class Timeline(Base):
    """A timeline of PostgreSQL's that this copy of the data has been through; of no tenant's.

    See `storage.timelines`.
    """

    __tablename__ = "timelines"

    timeline: Mapped[IntKey]
    copy: Mapped[str]
    """A random id, the same on all timelines of a copy of the data."""
    first_xact: Mapped[int] = mapped_column(sa.BigInteger)
    begun_at: Mapped[int | None] = mapped_column(sa.BigInteger)
    """Where in the write-ahead log; None: that is not known."""
    writable_from: Mapped[datetime]
