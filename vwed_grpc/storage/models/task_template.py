from typing import TYPE_CHECKING

from google.protobuf.struct_pb2 import Struct
from sqlalchemy.orm import Mapped, mapped_column

from vwed_grpc.storage.models.base import Base, Key, many, one, struct
from vwed_grpc.storage.models.definition import Definition, DefinitionFacet, DefinitionVersion

if TYPE_CHECKING:
    from vwed_grpc.storage.models.task_def import TaskDef


class TaskTemplate(Definition, Base):
    __tablename__ = "task_templates"

    versions: Mapped[list["TaskTemplateVersion"]] = many(
        "TaskTemplate", "TaskTemplateVersion", order_by="version", task_template_id="id"
    )
    content: Mapped["TaskTemplateVersion"] = one(
        "TaskTemplate", "TaskTemplateVersion", id="task_template_id", version="version"
    )
    """The version that is the present one."""
    task_defs: Mapped[list["TaskDef"]] = many(
        "TaskTemplate", "TaskDef", order_by="create_time", task_template_id="id"
    )
    """Those that are based on any version of it."""


class TaskTemplateVersion(DefinitionVersion, Base):
    __tablename__ = "task_template_versions"

    task_template_id: Mapped[Key]
    parameters_schema: Mapped[bytes] = mapped_column(sort_order=1)

    task_template: Mapped[TaskTemplate] = one(
        "TaskTemplateVersion", "TaskTemplate", task_template_id="id"
    )
    task_defs: Mapped[list["TaskDef"]] = many(
        "TaskTemplateVersion",
        "TaskDef",
        order_by="create_time",
        task_template_id="task_template_id",
        task_template_version="version",
    )

    @property
    def parameters_schema_struct(self) -> Struct:
        return struct(self.parameters_schema)


class TaskTemplateFacet(DefinitionFacet, Base):
    __tablename__ = "task_template_facets"
