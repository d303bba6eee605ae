from datetime import datetime

from sqlalchemy.orm import Mapped

from vwed_grpc.storage.models.base import Base


class ServicePulse(Base):
    """One row, of no tenant's: when a server last said that it could write, and since when.

    Since when there has been no gap, that is. See `storage.pulse`.
    """

    __tablename__ = "service_pulse"
    __table_args__ = ({"postgresql_with": {"fillfactor": "20"}},)

    beat: Mapped[datetime]
    reachable_since: Mapped[datetime]
