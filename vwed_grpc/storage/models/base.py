"""What all models have in common: the naming of constraints, the kinds of columns, relations.

Every primary key and unique constraint begins with the tenant, so PostgreSQL can be sharded by it.
Text is compared by code point (collation C) whatever the database's locale is. JSON objects are
kept as the serialized `google.protobuf.Struct` they arrived as: see docs/decisions.md.
"""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import sqlalchemy as sa
from google.protobuf.struct_pb2 import Struct
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.orm import DeclarativeBase, Mapped, Relationship, mapped_column, relationship

Text = sa.Text(collation="C")
Time = sa.DateTime(timezone=True)


class Base(DeclarativeBase):
    metadata = sa.MetaData(
        naming_convention={
            "ix": "%(table_name)s_%(column_0_N_name)s",
            "uq": "%(table_name)s_%(column_0_N_name)s_key",
            "pk": "%(table_name)s_pkey",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: Text,
        datetime: Time,
        float: sa.Double,
        dict[str, str]: pg.JSONB,
        list[str]: pg.ARRAY(sa.Text),
    }
    if TYPE_CHECKING:
        __table__: ClassVar[sa.Table]  # SQLAlchemy's own type is wider: a class may map a join

    # Of each table. The columns of a key stand first, the tenant before all others.
    tenant: Mapped[str] = mapped_column(primary_key=True, sort_order=-2)


# A field of proto3 is never unset: what is not given is what the type's default is.
String = Annotated[str, mapped_column(server_default="")]
Int32 = Annotated[int, mapped_column(sa.Integer, server_default="0")]
Int64 = Annotated[int, mapped_column(sa.BigInteger, server_default="0")]
Labels = Annotated[dict[str, str], mapped_column(server_default="{}")]
# Versions and attempts count from 1.
Ordinal = Annotated[int, mapped_column(sa.Integer, server_default="1")]

Key = Annotated[str, mapped_column(primary_key=True, sort_order=-1)]
IntKey = Annotated[
    int, mapped_column(sa.Integer, primary_key=True, autoincrement=False, sort_order=-1)
]


def struct(value: bytes) -> Struct:
    """A JSON object, of the bytes that are kept of it."""
    return Struct.FromString(value)


def one(child: str, parent: str, **columns: str) -> Relationship[Any]:
    """The parent of a child; `columns` of the child name those of the parent (child=parent)."""
    return _related(f"remote({parent}.{{}}) == foreign({child}.{{}})", columns)


def many(
    parent: str, child: str, *, order_by: str, only: str = "", **columns: str
) -> Relationship[Any]:
    """The children of a parent: `one`, read the other way. `only` is a condition on children."""
    equal = f"{parent}.{{}} == remote(foreign({child}.{{}}))"
    return _related(equal, columns, only=only, order_by=f"{child}.{order_by}")


def _related(
    equal: str, columns: dict[str, str], *, only: str = "", order_by: str | Literal[False] = False
) -> Relationship[Any]:
    """Read by queries that say so (`selectinload`, …), never by being looked at, and never written.

    The database has no foreign keys, so the join is given in full: see docs/decisions.md.
    """
    of_tenant = {"tenant": "tenant", **columns}
    conditions = [equal.format(theirs, ours) for ours, theirs in of_tenant.items()]
    return relationship(
        primaryjoin=f"and_({', '.join([*conditions, only] if only else conditions)})",
        order_by=order_by,
        viewonly=True,
        lazy="raise",
    )
