"""What definitions and templates have in common: present states, versions, facets."""

from datetime import datetime

import sqlalchemy as sa
from google.protobuf.struct_pb2 import Struct
from sqlalchemy.orm import Mapped, declared_attr

from vwed_grpc.storage.models.base import IntKey, Key, Labels, Ordinal, String, struct


class Definition:
    """The present state; contents stand in the versions."""

    __tablename__: str

    id: Mapped[Key]
    name: Mapped[String]
    description: Mapped[String]
    task_type: Mapped[String]
    labels: Mapped[Labels]
    version: Mapped[Ordinal]
    created_by: Mapped[String]
    change_note: Mapped[String]
    create_time: Mapped[datetime]
    update_time: Mapped[datetime]
    delete_time: Mapped[datetime | None]
    etag: Mapped[String]

    @declared_attr.directive
    @classmethod
    def __table_args__(cls) -> tuple[sa.Index]:
        return (
            sa.Index(
                f"{cls.__tablename__}_live_name",
                "tenant",
                "name",
                unique=True,
                postgresql_where=sa.text("delete_time IS NULL"),
            ),
        )


class DefinitionVersion:
    """Contents, one row a version, never changed."""

    version: Mapped[IntKey]
    name: Mapped[String]
    description: Mapped[String]
    task_type: Mapped[String]
    labels: Mapped[Labels]
    config: Mapped[bytes]
    created_by: Mapped[String]
    change_note: Mapped[String]
    write_time: Mapped[datetime]

    @property
    def config_struct(self) -> Struct:
        return struct(self.config)


class DefinitionFacet:
    """Each definition under everything that a filter can ask for, with what lists are ordered by.

    A list with any one filter, in any documented order, is then a range of one index, and as cheap
    for a value that nine of ten have as for one that nobody has. See docs/decisions.md.
    """

    __tablename__: str

    id: Mapped[Key]
    # As `storage.facets` writes it: "live:all", "live:status=2", "gone:label.zone=A".
    facet: Mapped[Key]
    name: Mapped[String]
    create_time: Mapped[datetime]
    update_time: Mapped[datetime]
    task_type: Mapped[str | None]

    @declared_attr.directive
    @classmethod
    def __table_args__(cls) -> tuple[sa.Index, ...]:
        # No order ends in the reverse of another, for ids ascend in both directions.
        orders = {
            "name": "name DESC",
            "create_time": "create_time DESC",
            "update_time": "update_time DESC",
            "task_type": "task_type DESC NULLS LAST",
        }
        indexes = []
        for field, descending in orders.items():
            index = f"{cls.__tablename__}_{field}"
            indexes += [
                sa.Index(index, "tenant", "facet", field, "id"),
                sa.Index(f"{index}_desc", "tenant", "facet", sa.text(descending), "id"),
            ]
        return tuple(indexes)
