"""Which calls may be made again when nobody knows whether the first one was carried out.

Whatever the service answers the second time must be what it would have answered the first time,
but for what others did meanwhile. A new RPC is decided here, or is never repeated.
"""

from collections.abc import Callable
from typing import Any

Rule = Callable[[Any], bool]
"""Whether this request may be made again."""


def always(_request: Any) -> bool:
    """What reads; what is idempotent by content; what has a `request_id`, which is filled in."""
    return True


def never(_request: Any) -> bool:
    """What answers otherwise the second time: that it is gone, or is there, or a smaller count."""
    return False


def without_etag(request: Any) -> bool:
    """An etag has changed by the first call, so the second one is ABORTED."""
    return not request.etag


def _without_precondition(request: Any) -> bool:
    """The first call makes untrue what the second one demands."""
    return request.WhichOneof("precondition") is None


def _update(resource: str) -> Rule:
    return lambda request: not getattr(request, resource).etag


RULES: dict[str, Rule] = {
    **dict.fromkeys(
        (
            "GetTaskDef",
            "BatchGetTaskDefs",
            "ListTaskDefs",
            "ListTaskDefVersions",
            "DiffTaskDefVersions",
            "GetTaskTemplate",
            "ListTaskTemplates",
            "ListTaskTemplateVersions",
            "GetTaskRecord",
            "BatchGetTaskRecords",
            "ListTaskRecords",
            "SummarizeTaskRecords",
            "SummarizeBlockRecords",
            "GetBlockRecord",
            "ListBlockRecords",
            "ListTaskRecordEvents",
            "GetDataCache",
            "BatchGetDataCache",
            "ListDataCache",
            # Idempotent by content.
            "ReportBlock",
            "ReportBlocks",
            "TouchDataCache",
            # By their request_id.
            "CreateTaskDef",
            "CreateTaskTemplate",
            "InstantiateTaskTemplate",
            "CreateTaskRecord",
            "ClaimTaskRecords",
            "IncrementDataCache",
        ),
        always,
    ),
    **dict.fromkeys(
        (
            # The same transition asked again answers the present state.
            "EnableTaskDef",
            "DisableTaskDef",
            "StartTaskRecord",
            "HeartbeatTaskRecord",
            "ReleaseTaskRecord",
            "PauseTaskRecord",
            "ResumeTaskRecord",
            "CancelTaskRecord",
            "FinishTaskRecord",
            # What changes nothing writes nothing.
            "RollbackTaskDef",
            # By their request_id, but an etag wins over that.
            "RetryTaskRecord",
            "SignalTaskRecord",
        ),
        without_etag,
    ),
    "UpdateTaskDef": _update("task_def"),
    "UpdateTaskTemplate": _update("task_template"),
    "UpdateTaskRecord": _update("task_record"),
    "SetDataCache": _without_precondition,
    "BatchSetDataCache": lambda request: all(map(_without_precondition, request.requests)),
    **dict.fromkeys(
        (
            "DeleteTaskDef",
            "UndeleteTaskDef",
            "DeleteTaskTemplate",
            "UndeleteTaskTemplate",
            "DeleteTaskRecord",
            "PruneTaskRecords",
            "DeleteDataCache",
            "ClearDataCache",
        ),
        never,
    ),
}
