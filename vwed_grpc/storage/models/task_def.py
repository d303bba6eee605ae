from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column
from vwed.v1.task_def_pb2 import TaskDefStatus

from vwed_grpc.storage.models.base import Base, Key, many, one
from vwed_grpc.storage.models.definition import Definition, DefinitionFacet, DefinitionVersion

if TYPE_CHECKING:
    from vwed_grpc.storage.models.task_record import TaskRecord
    from vwed_grpc.storage.models.task_template import TaskTemplateVersion


class TaskDef(Definition, Base):
    __tablename__ = "task_defs"

    # Its own columns stand behind those that templates have too.
    status: Mapped[TaskDefStatus.ValueType] = mapped_column(sa.SmallInteger, sort_order=1)
    task_template_id: Mapped[str] = mapped_column(server_default="", sort_order=1)
    task_template_version: Mapped[int] = mapped_column(server_default="0", sort_order=1)

    versions: Mapped[list["TaskDefVersion"]] = many(
        "TaskDef", "TaskDefVersion", order_by="version", task_def_id="id"
    )
    content: Mapped["TaskDefVersion"] = one(
        "TaskDef", "TaskDefVersion", id="task_def_id", version="version"
    )
    """The version that is the present one."""
    based_on: Mapped["TaskTemplateVersion | None"] = one(
        "TaskDef",
        "TaskTemplateVersion",
        task_template_id="task_template_id",
        task_template_version="version",
    )
    task_records: Mapped[list["TaskRecord"]] = many(
        "TaskDef", "TaskRecord", order_by="create_time", task_def_id="id"
    )


class TaskDefVersion(DefinitionVersion, Base):
    __tablename__ = "task_def_versions"

    task_def_id: Mapped[Key]

    task_def: Mapped[TaskDef] = one("TaskDefVersion", "TaskDef", task_def_id="id")
    task_records: Mapped[list["TaskRecord"]] = many(
        "TaskDefVersion",
        "TaskRecord",
        order_by="create_time",
        task_def_id="task_def_id",
        task_def_version="version",
    )
    """The runs that have this version pinned."""


class TaskDefFacet(DefinitionFacet, Base):
    __tablename__ = "task_def_facets"
