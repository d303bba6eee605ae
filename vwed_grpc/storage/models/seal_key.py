from sqlalchemy.orm import Mapped

from vwed_grpc.storage.models.base import Base


class SealKey(Base):
    """One row, of no tenant's: the secret that what is stored in Redis is sealed with."""

    __tablename__ = "seal_keys"

    key: Mapped[bytes]
