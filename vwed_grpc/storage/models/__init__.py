"""The tables, as SQLAlchemy models: one file a resource.

Statements of the service are Core over `models.X.__table__`; scripts and reports use the classes
with `Session` and `AsyncSession`, to read (docs/reports.md). The messages have the same names, so
the service imports the package: `models.TaskRecord`.
"""

from vwed_grpc.storage.models.base import Base, Text, Time
from vwed_grpc.storage.models.block_record import BlockRecord
from vwed_grpc.storage.models.data_cache import DataCache
from vwed_grpc.storage.models.event import TaskRecordEvent
from vwed_grpc.storage.models.idempotency_key import IdempotencyKey
from vwed_grpc.storage.models.seal_key import SealKey
from vwed_grpc.storage.models.service_pulse import ServicePulse
from vwed_grpc.storage.models.task_def import TaskDef, TaskDefFacet, TaskDefVersion
from vwed_grpc.storage.models.task_record import TaskRecord, TaskRecordLabel
from vwed_grpc.storage.models.task_template import (
    TaskTemplate,
    TaskTemplateFacet,
    TaskTemplateVersion,
)
from vwed_grpc.storage.models.timeline import Timeline

__all__ = [
    "Base",
    "BlockRecord",
    "DataCache",
    "IdempotencyKey",
    "SealKey",
    "ServicePulse",
    "TaskDef",
    "TaskDefFacet",
    "TaskDefVersion",
    "TaskRecord",
    "TaskRecordEvent",
    "TaskRecordLabel",
    "TaskTemplate",
    "TaskTemplateFacet",
    "TaskTemplateVersion",
    "Text",
    "Time",
    "Timeline",
]
