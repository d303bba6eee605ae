"""What a token must allow for each RPC: any one of the scopes that stand here with it."""

from google.protobuf.descriptor import MethodDescriptor

ACTOR_SET = "actor:set"
"""Of no RPC: its holder may name another actor than the token's subject."""

_OF_RPCS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("taskdefs:read",): (
        "GetTaskDef",
        "BatchGetTaskDefs",
        "ListTaskDefs",
        "ListTaskDefVersions",
        "DiffTaskDefVersions",
        "GetTaskTemplate",
        "ListTaskTemplates",
        "ListTaskTemplateVersions",
        "ExportTaskDefs",
    ),
    ("taskdefs:write",): (
        "CreateTaskDef",
        "UpdateTaskDef",
        "DeleteTaskDef",
        "UndeleteTaskDef",
        "EnableTaskDef",
        "DisableTaskDef",
        "RollbackTaskDef",
        "CreateTaskTemplate",
        "UpdateTaskTemplate",
        "DeleteTaskTemplate",
        "UndeleteTaskTemplate",
        "InstantiateTaskTemplate",
        "ImportTaskDefs",
    ),
    ("records:read",): (
        "GetTaskRecord",
        "BatchGetTaskRecords",
        "ListTaskRecords",
        "SummarizeTaskRecords",
        "SummarizeBlockRecords",
        "GetBlockRecord",
        "ListBlockRecords",
        "ListTaskRecordEvents",
        "WatchTaskRecord",
        "WatchTaskRecords",
    ),
    ("records:report",): (  # what executors do
        "ClaimTaskRecords",
        "StartTaskRecord",
        "HeartbeatTaskRecord",
        "ReleaseTaskRecord",
        "ReportBlock",
        "ReportBlocks",
        "StreamBlockReports",
    ),
    ("records:report", "records:operate"): (  # executors and operators do both
        "PauseTaskRecord",
        "FinishTaskRecord",
    ),
    ("records:operate",): (
        "ResumeTaskRecord",
        "CancelTaskRecord",
        "RetryTaskRecord",
        "SignalTaskRecord",
    ),
    ("records:write",): (
        "CreateTaskRecord",
        "UpdateTaskRecord",
        "DeleteTaskRecord",
        "PruneTaskRecords",
    ),
    ("cache:read",): (
        "GetDataCache",
        "BatchGetDataCache",
        "ListDataCache",
    ),
    ("cache:write",): (
        "SetDataCache",
        "BatchSetDataCache",
        "IncrementDataCache",
        "TouchDataCache",
        "DeleteDataCache",
        "ClearDataCache",
    ),
}
_OF_SERVICES: dict[str, tuple[str, ...]] = {
    "Health": (),  # load balancers ask, and have no token
    "ServerReflection": ("introspection:read",),
    "Channelz": ("introspection:read",),
}
"""Services that are not ours, with all their RPCs; they belong to no tenant."""
_BY_RPC = {name: scopes for scopes, names in _OF_RPCS.items() for name in names}


def scopes_of(method: MethodDescriptor) -> tuple[str, ...]:
    """The scopes of which one is needed; none: the RPC is open to everybody.

    Raises:
        LookupError: Nobody has said; a server with such an RPC does not start.
    """
    standard = _OF_SERVICES.get(method.containing_service.name)
    found = _BY_RPC.get(method.name) if standard is None else standard
    if found is None:
        raise LookupError(f"{method.full_name} stands in no scope")
    return found


def of_tenants(method: MethodDescriptor) -> bool:
    """Whether what it is about belongs to a tenant."""
    return method.containing_service.name not in _OF_SERVICES


def changes(method: MethodDescriptor) -> bool:
    """Whether it may change something."""
    return any(not scope.endswith(":read") for scope in scopes_of(method))
